"""What the comparisons share: pinned programs, their processor time, the load generator, and medians of per-round ratios.

Layout: the subject has processor 0 to itself, the generator and the back end share processor 1. Rounds are interleaved, each subject
once per round in changing order, so that a noisy machine disturbs all of them alike. A claim needs the whole interquartile range on
one side of 1.
"""

import argparse
import atexit
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SUBJECT_CPU = "0"
LOAD_CPU = "1"


def parser(description):
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("program", help="a release build of sampan; 'make build' makes it")
    return result


def arguments(description, rounds=7, seconds=5):
    """For the comparisons that repeat each measurement in rounds."""
    rounded = parser(description)
    rounded.add_argument("--rounds", type=int, default=rounds)
    rounded.add_argument("--seconds", type=int, default=seconds, help="length of each measurement")
    return parsed(rounded)


def parsed(described):
    options = described.parse_args()
    take_priority()
    options.program = str(pathlib.Path(options.program).resolve())
    if os.cpu_count() < 2:
        sys.exit("the comparisons need two processors: one for the subject, one for the load")
    return options


def take_priority():
    """Puts this session before others that work on the machine meanwhile, as far as one may; sched(7), autogroups."""
    group = pathlib.Path("/proc/self/autogroup")
    with contextlib.suppress(OSError):
        before = group.read_text().split()[-1]
        group.write_text("-19")
        atexit.register(group.write_text, before)
    with contextlib.suppress(OSError):
        os.nice(-19)


def need(*programs):
    missing = [program for program in programs if not find(program)]
    if missing:
        sys.exit(f"missing: {', '.join(missing)}; 'make test-packages' installs what the comparisons need")


def find(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Running:
    """A program on one processor, with all it starts. Ends with the block."""

    def __init__(self, command, cpu, port, name=""):
        self.name = name
        self.port = port
        self.log = tempfile.TemporaryFile()
        command = ["taskset", "-c", cpu, *command]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 20
        while not self.accepts():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                self.log.seek(0)
                sys.exit(f"{name or command} does not listen on {port}:\n{self.log.read().decode(errors='replace')}")
            time.sleep(0.02)

    def accepts(self):
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def processes(self):
        found, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    text = pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text()
                    queue += [int(child) for child in text.split()]
        return found

    def cpu_seconds(self):
        """Processor time of all threads, to the nanosecond."""
        total = 0
        for pid in self.processes():
            for task in os.listdir(f"/proc/{pid}/task"):
                total += int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
        return total / 1e9

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def backend(program, *settings, cpu=LOAD_CPU):
    port = free_port()
    command = [program, "load", "backend", "--port", str(port)]
    for setting in settings:
        command += ["--set", setting]
    return Running(command, cpu, port, "back end")


def load(program, *options, cpu=LOAD_CPU):
    """The report of a run of the generator. Missed objectives are no error here."""
    command = ["taskset", "-c", cpu, program, "load", *options, "--quiet", "-o", "json"]
    result = subprocess.run(command, capture_output=True, text=True)
    try:
        return json.loads(result.stdout)
    except json.JSONDecodeError:
        sys.exit(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")


@contextlib.contextmanager
def rivals(cpu=SUBJECT_CPU, count=2):
    """Loops on one processor that leave a program there its fair share, 1 / (count + 1), however much it would use."""
    loops = []
    try:
        for _ in range(count):
            loops.append(subprocess.Popen(["taskset", "-c", cpu, sys.executable, "-c", "while True: pass"], stdin=subprocess.DEVNULL))
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def check(report, what):
    """A comparison of failures would mean nothing."""
    if report["total"]["good"] < 0.99 * report["total"]["ended"] or report["total"]["ended"] == 0:
        sys.exit(f"{what}: not all requests were answered: {report['total']['outcomes']} {report.get('problem', '')}")
    return report


def orders(names, rounds):
    """A B C, C B A, and so on, beginning with another one each time."""
    for number in range(rounds):
        order = names[number % len(names):] + names[: number % len(names)]
        yield list(reversed(order)) if number % 2 else order


def spread(values):
    """Median and quartiles."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def ratio(values, others):
    """The median of the rounds' ratios."""
    return spread([value / other for value, other in zip(values, others)])[0]


def ratio_text(values, others):
    middle, low, high = spread([value / other for value, other in zip(values, others)])
    return f"{middle:.3f} ({low:.3f}-{high:.3f})"


def table(header, rows):
    rows = [header] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip(), flush=True)
    print(flush=True)


def verdicts(bars):
    """Prints what was measured beside what it should be; returns how many bars were missed."""
    table(["", "measured", "target", ""], [[*bar[:3], "met" if bar[3] else "MISSED"] for bar in bars])
    return sum(not bar[3] for bar in bars)
