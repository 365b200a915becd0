//! The message types of which a day has few: one of them every `RARE_EVERY` messages.

use std::io::{self, Write};

use protocol::itch::{
    BrokenTrade, CrossTrade, LuldAuctionCollar, MarketParticipantPosition, Noii,
    OrderExecutedWithPrice, RegSho,
};
use protocol::types::{Price4, Qty, Symbol};
use zerocopy::byteorder::big_endian::{U32, U64};

use super::{Day, locate_of};

impl<W: Write> Day<W> {
    /// The types that make up the rest of a day.
    pub(super) fn rare(&mut self) -> io::Result<()> {
        let index = self.pick_symbol();
        let locate = locate_of(index);
        let stock = self
            .symbols
            .get(index)
            .map_or(Symbol::BLANK, |market| market.symbol);
        let (match_number, price) = (self.number(), Price4(100_000).into());
        match self.random.u8(0..7) {
            0 => {
                let Some((order, locate, _, open)) = self.pick_live(false) else {
                    return self.add(false);
                };
                let head = self.head(OrderExecutedWithPrice::KIND, locate);
                let printable = if self.random.bool() { b'Y' } else { b'N' };
                let (order, shares) = (order.into(), Qty(self.random.u32(1..=open)).into());
                self.apply(&OrderExecutedWithPrice {
                    head,
                    order,
                    shares,
                    match_number,
                    printable,
                    price,
                })
            }
            1 => {
                let head = self.head(CrossTrade::KIND, locate);
                let (shares, cross_type) = (U64::new(5_000), b'O');
                self.apply(&CrossTrade {
                    head,
                    shares,
                    stock,
                    price,
                    match_number,
                    cross_type,
                })
            }
            2 => {
                let head = self.head(BrokenTrade::KIND, locate);
                self.apply(&BrokenTrade { head, match_number })
            }
            3 => {
                let head = self.head(RegSho::KIND, locate);
                self.write(&RegSho {
                    head,
                    stock,
                    action: b'0',
                })
            }
            4 => {
                let head = self.head(MarketParticipantPosition::KIND, locate);
                self.write(&MarketParticipantPosition {
                    head,
                    mpid: *b"TGEN",
                    stock,
                    primary_market_maker: b'Y',
                    market_maker_mode: b'N',
                    state: b'A',
                })
            }
            5 => self.collar(locate, stock),
            _ => self.imbalance(locate, stock),
        }
    }

    fn collar(&mut self, locate: u16, stock: Symbol) -> io::Result<()> {
        let head = self.head(LuldAuctionCollar::KIND, locate);
        let price = Price4(100_000).into();
        self.write(&LuldAuctionCollar {
            head,
            stock,
            reference_price: price,
            upper_price: price,
            lower_price: price,
            extension: U32::new(0),
        })
    }

    fn imbalance(&mut self, locate: u16, stock: Symbol) -> io::Result<()> {
        let head = self.head(Noii::KIND, locate);
        let price = Price4(100_000).into();
        self.write(&Noii {
            head,
            paired_shares: U64::new(1_000),
            imbalance_shares: U64::new(100),
            direction: b'B',
            stock,
            far_price: price,
            near_price: price,
            reference_price: price,
            cross_type: b'C',
            variation: b'L',
        })
    }
}
