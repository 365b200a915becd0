"""Compares the speed of `tickgate backtest` with that of hftbacktest on the same day: messages of the day a second.

Both trade the quoter, 5 us from the exchange each way, on one generated symbol; and both hear the day without an
order. Before anything is timed, hftbacktest's best prices and shares are compared with those of Tickgate's books after
each message that changed them: they have to be the same to the last. Then runs of both are taken in turn.

Ours is timed from the file to the last answer: reading and decoding it, the exchange's matching engine, the feed as
packets, books, strategy, risk, OUCH in a session. Theirs is timed from the array in memory, which was made of the file
before, to the last event; the JIT has compiled the strategy before, and of its two kinds of books the one that was
faster in some runs before is taken.

    target/hftbacktest/bin/python bench/hftbacktest/compare.py --programs target/release --live 0 2000
"""

import argparse
import csv
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import hftbacktest
import numba
import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest, ROIVectorMarketDepthBacktest

import quoter
from day import events_of

LATENCY_NS = 5_000
# Runs of each kind of hftbacktest's books that decide which is taken.
CHOOSING_RUNS = 3
# Limits as wide as those of a backtest without a configuration; `inventory_max` 0 is a quoter that hears and sends nothing.
CONFIGURATION = """
[feed.day]
receive = "udp"
lines = [{{ address = "127.0.0.1:26477", interface = "lo" }}]

[session.ouch]
address = "127.0.0.1:12000"
username = "demo"
password = "demo"

[session.ouch.risk]
order_qty_max = 10000
notional_max_dollars = 10000000
collar_bps = 1000
position_max = 100000
open_orders_max = 1000
orders_per_second_max = 100000
gross_exposure_max_dollars = 1000000000
net_exposure_max_dollars = 1000000000
loss_max_dollars = 100000000

[strategy.quotes]
kind = "quoter"
feed = "day"
session = "ouch"
parameters = {{ inventory_max = {inventory_max} }}
"""


@dataclass
class Run:
    """One way to go through the day, and what its rounds took."""

    name: str
    go: Callable[[], float]
    work: dict[str, int] = field(default_factory=dict)
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def rates(self, messages: int) -> list[int]:
        return sorted(round(messages / took) for took in self.wall_s)

    def row(self, messages: int) -> str:
        rates = self.rates(messages)
        cpu_ns = statistics.median(self.cpu_s) * 1e9 / messages
        work = [f"{self.work[it]:,}" if it in self.work else "-" for it in ("entered", "replaced", "fills", "shares")]
        median = round(statistics.median(rates))
        return " | ".join([f"| {self.name}", f"{median:,}", f"{rates[0]:,} to {rates[-1]:,}", f"{cpu_ns:,.0f}", *work]) + " |"


def cpu_s() -> float:
    """CPU time of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(it.ru_utime + it.ru_stime for it in used)


class Ours:
    """`tickgate-backtest` on the file."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        self.folder = folder

    def program(self, name: str, *arguments: object) -> str:
        command = [str(self.programs / name), *map(str, arguments)]
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout

    def generate(self, name: str, options: argparse.Namespace, live: int) -> Path:
        path = self.folder / name
        size = ["--symbols", 1, "--messages", options.messages, "--seed", options.seed, "--live", live]
        self.program("tickgate-bench", "generate", path, *size)
        return path

    def best_prices(self, day: Path) -> np.ndarray:
        """Time, bid, shares, ask, shares: as they were when the time was over, each time that they changed."""
        table = self.folder / "best-prices.csv"
        self.program("tickgate-bench", "book", day, "--bbo", table)
        last: dict[int, list[int]] = {}
        with table.open() as lines:
            for at_ns, _, _, bid, bid_shares, _, ask, ask_shares, _ in list(csv.reader(lines))[1:]:
                last[int(at_ns)] = [int(at_ns), int(bid), int(bid_shares), int(ask), int(ask_shares)]
        rows = np.array(list(last.values()), dtype=np.int64)
        changes = np.any(np.diff(rows[:, 1:], axis=0) != 0, axis=1)
        return rows[np.concatenate([[True], changes])]

    def backtest(self, day: Path, inventory_max: int, *arguments: object) -> float:
        """Goes through the day and returns the seconds that it says it took."""
        config = self.folder / f"inventory-{inventory_max}.toml"
        config.write_text(CONFIGURATION.format(inventory_max=inventory_max))
        text = self.program("tickgate-backtest", day, "--config", config, "--latency", "5us", *arguments)
        took = re.search(r"took\s+([0-9.]+) s", text)
        assert took, text
        return float(took[1])

    def work(self, day: Path, inventory_max: int) -> dict[str, int]:
        """What the strategy did, from a run that is not timed."""
        report = self.folder / "outcome.json"
        self.backtest(day, inventory_max, "--json", report)
        outcome = json.loads(report.read_text())
        assert not outcome["troubles"], outcome["troubles"]
        return {
            "messages": outcome["messages"],
            "entered": outcome["accepted"],
            "replaced": outcome["replaced"],
            "fills": len(outcome["fills"]),
            "shares": sum(fill["shares"] for fill in outcome["fills"]),
        }

    def run(self, name: str, day: Path, inventory_max: int) -> Run:
        return Run(name, lambda: self.backtest(day, inventory_max), self.work(day, inventory_max))


class Theirs:
    """hftbacktest on the array."""

    def __init__(self, events: np.ndarray) -> None:
        self.events = events
        kinds = (ROIVectorMarketDepthBacktest, HashMapMarketDepthBacktest)
        for kind in kinds:
            # The JIT compiles: not timed.
            quoter.trade(self.bot(kind), quoter.INVENTORY_MAX)
        trade = lambda bot: quoter.trade(bot, quoter.INVENTORY_MAX)
        took = {kind: min(self.timed(trade, kind) for _ in range(CHOOSING_RUNS)) for kind in kinds}
        self.kind = min(kinds, key=lambda kind: took[kind])
        shown = ", ".join(f"{kind.__name__} {took[kind]:.2f} s" for kind in kinds)
        print(f"hftbacktest's books, the best of {CHOOSING_RUNS} first runs: {shown}", flush=True)

    def bot(self, kind: Callable | None = None):
        asset = (
            BacktestAsset()
            .data(self.events)
            .linear_asset(1.0)
            .constant_order_latency(LATENCY_NS, LATENCY_NS)
            .l3_fifo_queue_model()
            .no_partial_fill_exchange()
            .trading_value_fee_model(0.0, 0.0)
            .tick_size(quoter.TICK_SIZE)
            .lot_size(1.0)
            .roi_lb(0.0)
            .roi_ub(float(self.events["px"].max()) + 1.0)
        )
        return (kind or self.kind)([asset])

    def timed(self, go: Callable, kind: Callable | None = None) -> float:
        began = time.perf_counter()
        go(self.bot(kind))
        return time.perf_counter() - began

    def best_prices(self) -> np.ndarray:
        rows = np.zeros((len(self.events) + 1, 5), dtype=np.int64)
        count = quoter.best_prices(self.bot(), LATENCY_NS, rows)
        return rows[:count]

    def work(self, inventory_max: int) -> dict[str, int]:
        bot = self.bot()
        _, counts = quoter.trade(bot, inventory_max)
        values = bot.state_values(0)
        return {
            "entered": int(counts[quoter.ENTERED]),
            "replaced": int(counts[quoter.REPLACED]),
            "fills": int(values.num_trades),
            "shares": int(values.trading_volume),
        }

    def run(self, name: str, inventory_max: int) -> Run:
        return Run(name, lambda: self.timed(lambda bot: quoter.trade(bot, inventory_max)), self.work(inventory_max))

    def run_through(self, name: str) -> Run:
        go = lambda: self.timed(lambda bot: bot.elapse(quoter.WAIT_NS))
        # The JIT compiles the call.
        go()
        return Run(name, go)


def check_same_market(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Ends the comparison where a best price or its shares differ."""
    # Before the first order neither side has a price, which only theirs writes down.
    theirs = theirs[(theirs[:, 1] > 0) | (theirs[:, 3] > 0)]
    shared = min(len(ours), len(theirs))
    differs = np.flatnonzero(np.any(ours[:shared] != theirs[:shared], axis=1))
    if len(differs) or len(ours) != len(theirs):
        at = differs[0] if len(differs) else shared
        sys.exit(f"not the same market from change {at}: {ours[at : at + 1]} and {theirs[at : at + 1]}")
    print(f"best prices and their shares: {len(ours):,} changes, all the same", flush=True)


def take_in_turn(runs: list[Run], rounds: int) -> None:
    for _ in range(rounds):
        for run in runs:
            before_s = cpu_s()
            run.wall_s.append(run.go())
            run.cpu_s.append(cpu_s() - before_s)


def show(runs: list[Run], messages: int) -> None:
    print("| | messages a second, median | range | CPU, ns a message | entered | replaced | fills | shares |")
    print("|---|---|---|---|---|---|---|---|")
    for run in runs:
        print(run.row(messages))
    medians = {run.name: statistics.median(run.rates(messages)) for run in runs}
    for what in ("quoter", "no order"):
        ratio = medians[f"tickgate, {what}"] / medians[f"hftbacktest, {what}"]
        print(f"tickgate / hftbacktest, {what}: {ratio:.2f}")


def compare(options: argparse.Namespace, live: int) -> None:
    ours = Ours(options.programs, options.folder)
    day = ours.generate(f"live-{live}.itch50", options, live)
    packed = ours.generate(f"live-{live}.itch50.gz", options, live)
    print(f"\nA day of {options.messages:,} messages, one symbol, {live or 20} live orders, seed {options.seed}", flush=True)
    began = time.perf_counter()
    events, messages = events_of(day, LATENCY_NS)
    took_s = time.perf_counter() - began
    size = f"{day.stat().st_size >> 20} MiB, as events {events.nbytes >> 20} MiB"
    print(f"made into {len(events):,} events of hftbacktest in {took_s:.1f} s, not counted below; {size}", flush=True)
    theirs = Theirs(events)
    check_same_market(ours.best_prices(day), theirs.best_prices())
    runs = [
        ours.run("tickgate, quoter", day, quoter.INVENTORY_MAX),
        theirs.run("hftbacktest, quoter", quoter.INVENTORY_MAX),
        ours.run("tickgate, no order", day, 0),
        theirs.run("hftbacktest, no order", 0),
        ours.run("tickgate, quoter, packed day", packed, quoter.INVENTORY_MAX),
        theirs.run_through("hftbacktest, no strategy"),
    ]
    assert runs[0].work["messages"] == messages, "each message of the file is one of the feed"
    take_in_turn(runs, options.rounds)
    show(runs, messages)


def describe_host(programs: Path) -> None:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    load = " ".join(f"{it:.2f}" for it in os.getloadavg())
    print(f"{os.cpu_count()} CPUs, {model[1] if model else 'unknown'}; Linux {platform.release()}; load before {load}")
    versions = f"hftbacktest {hftbacktest.__version__}, numba {numba.__version__}, Python {platform.python_version()}"
    print(f"{versions}; tickgate of {programs}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=Path, required=True, help="where tickgate-backtest and tickgate-bench are")
    parser.add_argument("--folder", type=Path, default=Path("target/hftbacktest/days"), help="for the days")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--live", type=int, nargs="+", default=[0, 2_000], help="live orders of each day; 0: twenty")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    describe_host(options.programs)
    for live in options.live:
        compare(options, live)


if __name__ == "__main__":
    main()
