"""Holds threads of another process, as a kernel or a debugger might: takes their numbers, says "held", and lets them go at
the end of its input."""

import ctypes
import sys

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
for thread in map(int, sys.argv[1:]):
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(request, thread, None, None) != 0:
            sys.exit(f"ptrace of {thread}: error {ctypes.get_errno()}")
    if libc.waitpid(thread, None, WALL) != thread:
        sys.exit(f"{thread} does not stop")
print("held", flush=True)
sys.stdin.read()
