"""A day of ITCH 5.0 as hftbacktest's array of events, order by order (L3).

It compares nothing itself: `compare.py` runs the array beside the file that it was made of. Where the two formats
differ, the encoding is the one with the fewest events that keeps each order's place in its queue:

- an execution is a fill, then what is left of the order (a modify) or its end (a cancel), all at one time;
- a partial cancel is a modify to fewer shares, which keeps the place;
- a replace is a modify of the first order's id where that loses the place in hftbacktest, too (another price, or more
  shares), and otherwise a cancel and an add;
- an execution at another price says that price; one that is not printed (a part of a cross) fills nobody, as in
  `tickgate backtest`.

What is neither an order nor a trade has no event: less than one message in 2,000 of a generated day.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hftbacktest.types import (
    ADD_ORDER_EVENT,
    BUY_EVENT,
    CANCEL_ORDER_EVENT,
    EXCH_EVENT,
    FILL_EVENT,
    LOCAL_EVENT,
    MODIFY_ORDER_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    event_dtype,
)

# Prices of ITCH are in units of 0.0001.
PRICE_UNITS = 10_000
# Each event is heard by the exchange's side and by the strategy's.
HEARD = EXCH_EVENT | LOCAL_EVENT

Row = tuple[int, int, int, float, float, int, int, float]


class Order:
    """A live order of the record."""

    __slots__ = ("id", "side", "price", "shares")

    def __init__(self, id: int, side: int, price: int, shares: int) -> None:
        self.id = id
        self.side = side
        self.price = price
        self.shares = shares


class Converter:
    """Reads messages and keeps live orders, which hold what a later message leaves out."""

    def __init__(self, feed_latency_ns: int) -> None:
        self.feed_latency_ns = feed_latency_ns
        self.orders: dict[int, Order] = {}
        self.rows: list[Row] = []
        self.messages = 0

    def write(self, kind: int, at_ns: int, order: Order, shares: int, price: int = 0) -> None:
        """Adds an event of an order, at its own price unless another is given."""
        price = (price or order.price) / PRICE_UNITS
        local_ns = at_ns + self.feed_latency_ns
        self.rows.append((kind | order.side | HEARD, at_ns, local_ns, price, float(shares), order.id, 0, 0.0))

    def add(self, at_ns: int, message: bytes) -> None:
        reference, side, shares = struct.unpack_from(">QcI", message, 11)
        (price,) = struct.unpack_from(">I", message, 32)
        order = Order(reference, BUY_EVENT if side == b"B" else SELL_EVENT, price, shares)
        self.orders[reference] = order
        self.write(ADD_ORDER_EVENT, at_ns, order, shares)

    def take_off(self, at_ns: int, reference: int, shares: int) -> None:
        order = self.orders[reference]
        order.shares -= shares
        if order.shares > 0:
            self.write(MODIFY_ORDER_EVENT, at_ns, order, order.shares)
        else:
            del self.orders[reference]
            self.write(CANCEL_ORDER_EVENT, at_ns, order, 0)

    def execute(self, at_ns: int, message: bytes) -> None:
        reference, shares = struct.unpack_from(">QI", message, 11)
        is_printed, price = True, 0
        if message[:1] == b"C":
            is_printed, price = message[31:32] != b"N", int.from_bytes(message[32:36], "big")
        if is_printed:
            self.write(FILL_EVENT, at_ns, self.orders[reference], shares, price)
        self.take_off(at_ns, reference, shares)

    def delete(self, at_ns: int, message: bytes) -> None:
        (reference,) = struct.unpack_from(">Q", message, 11)
        self.write(CANCEL_ORDER_EVENT, at_ns, self.orders.pop(reference), 0)

    def replace(self, at_ns: int, message: bytes) -> None:
        old, new, shares, price = struct.unpack_from(">QQII", message, 11)
        order = self.orders.pop(old)
        self.orders[new] = order
        if price != order.price or shares > order.shares:
            order.price, order.shares = price, shares
            self.write(MODIFY_ORDER_EVENT, at_ns, order, shares)
        else:
            self.write(CANCEL_ORDER_EVENT, at_ns, order, 0)
            order.id, order.shares = new, shares
            self.write(ADD_ORDER_EVENT, at_ns, order, shares)

    def trade(self, at_ns: int, message: bytes) -> None:
        side, shares = struct.unpack_from(">cI", message, 19)
        (price,) = struct.unpack_from(">I", message, 32)
        self.write(TRADE_EVENT, at_ns, Order(0, BUY_EVENT if side == b"B" else SELL_EVENT, price, shares), shares)

    def on_message(self, message: bytes) -> None:
        self.messages += 1
        at_ns = int.from_bytes(message[5:11], "big")
        match message[:1]:
            case b"A" | b"F":
                self.add(at_ns, message)
            case b"D":
                self.delete(at_ns, message)
            case b"U":
                self.replace(at_ns, message)
            case b"E" | b"C":
                self.execute(at_ns, message)
            case b"X":
                reference, shares = struct.unpack_from(">QI", message, 11)
                self.take_off(at_ns, reference, shares)
            case b"P":
                self.trade(at_ns, message)


def messages_of(day: bytes) -> Iterator[bytes]:
    """Messages of a BinaryFILE: each behind its length, 16 bits, big-endian."""
    at = 0
    while at + 2 <= len(day):
        length = int.from_bytes(day[at : at + 2], "big")
        if length == 0:
            return
        yield day[at + 2 : at + 2 + length]
        at += 2 + length


def events_of(path: Path, feed_latency_ns: int) -> tuple[np.ndarray, int]:
    """The day's events, and how many messages it had."""
    converter = Converter(feed_latency_ns)
    for message in messages_of(path.read_bytes()):
        converter.on_message(message)
    return np.array(converter.rows, dtype=event_dtype), converter.messages
