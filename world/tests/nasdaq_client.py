"""Nasdaq's own SoupBinTCP client (nasdaq-protocols) trades on the exchange; the argument is its port.

The layouts are section 5 of the OUCH 5.0 document, written down here by hand and not by the exchange's
own encoder.
"""

import asyncio
import os
import struct
import sys
import traceback

from nasdaq_protocols import soup

PORT = int(sys.argv[1])

ANSWERS = {
    b"A": (">cQIcI8sQccQcccc14sH", "type time ref side qty symbol price tif display order capacity iso cross state id more"),
    b"U": (">cQIIcI8sQccQcccc14sH", "type time old ref side qty symbol price tif display order capacity iso cross state id more"),
    b"C": (">cQIIc", "type time ref qty reason"),
    b"E": (">cQIIQcQH", "type time ref qty price liquidity match more"),
    b"J": (">cQIH14s", "type time ref reason id"),
    b"Q": (">cQI", "type time next"),
}


def enter(ref, side, qty, price, tif=b"0", order_id=b"python"):
    return struct.pack(">cIcI8sQccccc14sH", b"O", ref, side, qty, b"ALC     ", price, tif, b"Y", b"P",
                       b"N", b"N", order_id.ljust(14), 0)


def replace(old, ref, qty, price):
    return struct.pack(">cIIIQccc14sH", b"U", old, ref, qty, price, b"0", b"Y", b"N",
                       b"python".ljust(14), 0)


def cancel(ref, qty=0):
    return struct.pack(">cII", b"X", ref, qty)


def decode(data):
    layout, names = ANSWERS[data[:1]]
    assert len(data) == struct.calcsize(layout), (data[:1], len(data))
    return dict(zip(names.split(), struct.unpack(layout, data)))


async def connect(user, sequence, password="secret", session=""):
    return await soup.connect_async(("127.0.0.1", PORT), user, password, session, sequence)


async def answers(session, count):
    """The next `count` sequenced messages, as (type, fields)."""
    found = []
    while len(found) < count:
        message = await asyncio.wait_for(session.receive_msg(), 5)
        if isinstance(message, soup.SequencedData):
            fields = decode(message.data)
            found.append((fields["type"], fields))
    return found


async def say(session, data, count):
    session.send_unseq_data(data)
    return await answers(session, count)


async def refused(letter, **wrong):
    try:
        await connect("alice", 1, **wrong)
    except ConnectionRefusedError as error:
        assert letter in str(error), (letter, error)
        return
    raise AssertionError(f"not refused: {wrong}")


async def trade():
    await refused("NOT_AUTHORIZED", password="wrong")
    await refused("SESSION_NOT_AVAILABLE", session="YESTERDAY")
    alice, bob = await connect("alice", 1), await connect("bob", 1, session="PYTHON0001")
    assert alice.session_id.session == "PYTHON0001", alice.session_id

    [(kind, a)] = await say(alice, enter(1, b"B", 300, 1_000_000), 1)
    assert kind == b"A" and (a["ref"], a["qty"], a["price"], a["state"]) == (1, 300, 1_000_000, b"L"), a
    assert a["symbol"] == b"ALC     " and a["id"] == b"python".ljust(14) and a["more"] == 0
    # Filled by somebody else, partly.
    told = await say(bob, enter(1, b"S", 100, 990_000), 2)
    assert [kind for kind, _ in told] == [b"A", b"E"], told
    [(kind, e)] = await answers(alice, 1)
    assert kind == b"E" and (e["ref"], e["qty"], e["price"], e["liquidity"]) == (1, 100, 1_000_000, b"A"), e
    assert e["match"] == told[1][1]["match"] and told[1][1]["liquidity"] == b"R"
    # The liability of the chain is 500, of which 100 are done.
    [(kind, u)] = await say(alice, replace(1, 2, 500, 1_000_100), 1)
    assert kind == b"U" and (u["old"], u["ref"], u["qty"], u["price"]) == (1, 2, 400, 1_000_100), u
    [(kind, c)] = await say(alice, cancel(2, 300), 1)
    assert kind == b"C" and (c["ref"], c["qty"], c["reason"]) == (2, 200, b"U"), c
    [(kind, j)] = await say(alice, enter(3, b"?", 1, 1), 1)
    assert kind == b"J" and (j["ref"], j["reason"]) == (3, 0x09), j
    [(kind, q)] = await say(alice, b"Q", 1)
    assert kind == b"Q" and q["next"] == 4, q

    # Cut off in the middle of an answer, as a script wants it.
    before = alice.sequence
    alice.send_unseq_data(enter(4, b"B", 10, 900_000, order_id=b"CUT"))
    try:
        await answers(alice, 1)
        raise AssertionError("half an answer was read as one")
    except AssertionError:
        raise
    except Exception:
        pass
    # Meanwhile somebody trades with what rests.
    await say(bob, enter(2, b"S", 200, 1_000_100, tif=b"3"), 2)
    # Back, for the next number: exactly what was missed, once.
    alice = await connect("alice", before + 1)
    assert alice.sequence == before, (alice.sequence, before)
    (first, a), (second, e) = await answers(alice, 2)
    assert (first, a["ref"]) == (b"A", 4) and (second, e["ref"], e["qty"]) == (b"E", 2, 200), (a, e)
    [(kind, q)] = await say(alice, b"Q", 1)
    assert q["next"] == 5, "nothing else was missed"

    # From the start: all of it, the same bytes.
    everything = await connect("alice", 1)
    again = await answers(everything, 9)
    assert [kind for kind, _ in again] == [b"A", b"E", b"U", b"C", b"J", b"Q", b"A", b"E", b"Q"], again
    # That was a second login: the older connection is cut, the newer one works.
    try:
        while True:
            await asyncio.wait_for(alice.receive_msg(), 5)
    except asyncio.TimeoutError as error:
        raise AssertionError("the older connection lives") from error
    except Exception:
        pass
    [(kind, c)] = await say(everything, cancel(4), 1)
    assert kind == b"C" and c["qty"] == 10, c
    # A number beyond the last is answered with the next.
    ahead = await connect("bob", 1000)
    assert ahead.sequence == 4, ahead.sequence
    ahead.logout()
    everything.logout()
    print("nasdaq-protocols: logged in, traded, cut, resumed, taken over")


async def main():
    status = 1
    try:
        await asyncio.wait_for(trade(), 30)
        status = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    # The library's own tasks keep a loop alive that has lost its connections.
    os._exit(status)


asyncio.run(main())
