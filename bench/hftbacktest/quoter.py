"""Tickgate's `quoter` as a strategy of hftbacktest, what sends nothing, and what writes best prices down.

The arithmetic is that of gateway/src/strategy/quoter.rs with its default parameters: one order a side around the
middle of the best prices, moved by replace, leaning against the inventory. It wakes at each message and at each
answer, as ours does. Without a counterpart is the quoter's patience after refusals, of which there are next to none.
"""

import numpy as np
from hftbacktest.order import BUY, CANCELED, EXPIRED, FILLED, GTC, LIMIT, NONE, SELL
from numba import boolean, int64, njit, uint64
from numba.experimental import jitclass

# Return values of `wait_next_feed`.
END_OF_DATA = 1
# Longer than any silence of the day, so that only messages and answers wake the strategy.
WAIT_NS = 86_400_000_000_000
# Parameters of the quoter, money in units of 0.0001.
QTY = 100
HALF_SPREAD = 200
SKEW_PER_LOT = 100
REQUOTE_AT = 100
INVENTORY_MAX = 1_000
# One cent.
TICK = 100
TICK_SIZE = 0.01
# Ticks beyond these are no prices: an empty side.
TICKS_MAX = 20_000_000
# What is counted of orders.
ENTERED, REPLACED, CANCELLED = 0, 1, 2


@jitclass([("side", int64), ("id", uint64), ("price", int64), ("is_busy", boolean)])
class Quote:
    """One side's order."""

    def __init__(self, side):
        self.side = side
        # 0: none.
        self.id = 0
        self.price = 0
        # The exchange has something to answer.
        self.is_busy = False


@njit
def wanted_prices(bid: int, ask: int, inventory: int, inventory_max: int) -> tuple[int, int]:
    """Prices that the quotes should have, bid and ask; 0: that side should not be quoted."""
    if bid == 0 or ask <= bid:
        return 0, 0
    skew = inventory * SKEW_PER_LOT // QTY
    middle = (bid + ask) // 2 - skew
    buy_at = min((middle - HALF_SPREAD) // TICK * TICK, ask - TICK)
    sell_at = max(-(-(middle + HALF_SPREAD) // TICK) * TICK, bid + TICK)
    if buy_at <= 0 or inventory >= inventory_max:
        buy_at = 0
    if sell_at <= 0 or inventory <= -inventory_max:
        sell_at = 0
    return buy_at, sell_at


@njit
def price_of(tick: int) -> int:
    """A best price in units of 0.0001; 0: that side is empty."""
    return tick * TICK if 0 < tick < TICKS_MAX else 0


@njit
def steer(bot, quote, wanted: int, counts) -> None:
    """Moves one side's order towards where it is wanted, one step at a time."""
    if quote.id == 0 and wanted != 0:
        counts[ENTERED] += 1
        quote.id, quote.price, quote.is_busy = counts[ENTERED], wanted, True
        price = wanted // TICK * TICK_SIZE
        if quote.side == BUY:
            bot.submit_buy_order(0, quote.id, price, QTY, GTC, LIMIT, False)
        else:
            bot.submit_sell_order(0, quote.id, price, QTY, GTC, LIMIT, False)
    elif quote.id == 0 or quote.is_busy:
        return
    elif wanted == 0:
        counts[CANCELLED] += 1
        quote.is_busy = bot.cancel(0, quote.id, False) == 0
    elif abs(wanted - quote.price) >= REQUOTE_AT:
        counts[REPLACED] += 1
        quote.is_busy = bot.modify(0, quote.id, wanted // TICK * TICK_SIZE, QTY, False) == 0


@njit
def hear(bot, quote) -> None:
    """What the exchange has said of one side's order."""
    if quote.id == 0:
        return
    order = bot.orders(0).get(quote.id)
    if order.status == FILLED or order.status == CANCELED or order.status == EXPIRED:
        quote.id, quote.is_busy = 0, False
        bot.clear_inactive_orders(0)
    else:
        quote.price, quote.is_busy = order.price_tick * TICK, order.req != NONE


@njit
def trade(bot, inventory_max: int):
    """The quoter until the day ends: wakes, and orders entered, replaced, cancelled."""
    bids, asks = Quote(BUY), Quote(SELL)
    counts = np.zeros(3, np.int64)
    wakes, inventory = 0, 0
    while True:
        woke = bot.wait_next_feed(True, WAIT_NS)
        if woke == END_OF_DATA:
            break
        if woke < 0 or woke > 3:
            raise ValueError("hftbacktest refuses the day")
        wakes += 1
        held = int(bot.position(0))
        # Nothing else changes orders: what need not be looked up is not.
        if bids.is_busy or asks.is_busy or held != inventory:
            inventory = held
            hear(bot, bids)
            hear(bot, asks)
        depth = bot.depth(0)
        bid, ask = price_of(depth.best_bid_tick), price_of(depth.best_ask_tick)
        buy_at, sell_at = wanted_prices(bid, ask, inventory, inventory_max)
        steer(bot, bids, buy_at, counts)
        steer(bot, asks, sell_at, counts)
    return wakes, counts


@njit
def best_prices(bot, feed_latency_ns: int, rows) -> int:
    """Writes each change of the best prices into `rows`: exchange's time, bid, shares, ask, shares. Returns how many."""
    count = 0
    while True:
        woke = bot.wait_next_feed(True, WAIT_NS)
        if woke == END_OF_DATA:
            return count
        if woke < 0 or woke > 3:
            raise ValueError("hftbacktest refuses the day")
        depth = bot.depth(0)
        bid, ask = price_of(depth.best_bid_tick), price_of(depth.best_ask_tick)
        # Not best_bid_qty: that of ROIVectorMarketDepth says the price in Python's 2.4.4.
        bid_shares = int(round(depth.bid_qty_at_tick(depth.best_bid_tick))) if bid else 0
        ask_shares = int(round(depth.ask_qty_at_tick(depth.best_ask_tick))) if ask else 0
        last = rows[max(count - 1, 0)]
        if count and (last[1] == bid and last[2] == bid_shares and last[3] == ask and last[4] == ask_shares):
            continue
        row = rows[count]
        row[0] = bot.current_timestamp - feed_latency_ns
        row[1], row[2], row[3], row[4] = bid, bid_shares, ask, ask_shares
        count += 1
