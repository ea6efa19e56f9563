"""Lets a program fail at one of its system calls, by number.

    syscalls.py --below DIR --at K [--error ERRNO] [--calls NAME,…] -- PROGRAM ARGUMENT…

Counts, over all threads of PROGRAM, the calls that change something below DIR
(or of those the ones named), and at the K-th, before it is carried out, kills the
whole program; with --error that one call answers ERRNO instead and everything
goes on. The last line on standard error tells what happened:

    syscalls: fired at 17: fdatasync /spool/00000000000000000001.seg
    syscalls: not fired, 212 counted

Exits as the program does; 137 if it was killed, 99 if tracing is not possible here.
Linux on x86_64 or aarch64; --error on x86_64 alone. A count of our own, since
that of strace's `when=` is one for each thread and name, and would pass over calls.
"""

import argparse
import ctypes
import errno
import os
import platform
import signal
import sys

TRACEME, POKEUSER, SYSCALL, SETOPTIONS, GET_SYSCALL_INFO = 0, 6, 24, 0x4200, 0x420E
# System-call stops are marked; clones, forks and exec are followed; we end, all end.
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000
ENTRY, EXIT = 1, 2
WALL = 0x40000000
NOT_POSSIBLE = 99
# How a call names what it changes: by descriptors or paths, and at which arguments.
FD, PATH, OPENED = "fd", "path", "opened"
CALLS = {
    "x86_64": {
        1: ("write", FD, [0]), 18: ("pwrite64", FD, [0]), 20: ("writev", FD, [0]),
        74: ("fsync", FD, [0]), 75: ("fdatasync", FD, [0]), 77: ("ftruncate", FD, [0]),
        285: ("fallocate", FD, [0]), 2: ("open", OPENED, [0]), 257: ("openat", OPENED, [1]),
        82: ("rename", PATH, [0, 1]), 264: ("renameat", PATH, [1, 3]),
        316: ("renameat2", PATH, [1, 3]), 83: ("mkdir", PATH, [0]), 258: ("mkdirat", PATH, [1]),
        87: ("unlink", PATH, [0]), 263: ("unlinkat", PATH, [1]), 84: ("rmdir", PATH, [0]),
        86: ("link", PATH, [1]), 265: ("linkat", PATH, [3]),
    },
    "aarch64": {
        64: ("write", FD, [0]), 68: ("pwrite64", FD, [0]), 66: ("writev", FD, [0]),
        82: ("fsync", FD, [0]), 83: ("fdatasync", FD, [0]), 46: ("ftruncate", FD, [0]),
        47: ("fallocate", FD, [0]), 56: ("openat", OPENED, [1]), 38: ("renameat", PATH, [1, 3]),
        276: ("renameat2", PATH, [1, 3]), 34: ("mkdirat", PATH, [1]),
        35: ("unlinkat", PATH, [1]), 37: ("linkat", PATH, [3]),
    },
}
ORIG_RAX, RAX = 15 * 8, 10 * 8

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Info(ctypes.Structure):
    """struct ptrace_syscall_info, as far as an entry fills it."""

    _fields_ = [
        ("op", ctypes.c_uint8), ("pad", ctypes.c_uint8 * 3), ("arch", ctypes.c_uint32),
        ("instruction", ctypes.c_uint64), ("stack", ctypes.c_uint64),
        ("nr", ctypes.c_uint64), ("args", ctypes.c_uint64 * 6),
    ]


def ptrace(request, pid, address=0, data=0):
    answer = libc.ptrace(request, pid, address, data)
    if answer < 0 and ctypes.get_errno() != errno.ESRCH:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


class Tracer:
    def __init__(self, arguments):
        self.below = os.path.realpath(arguments.below) + "/"
        self.at, self.error = arguments.at, arguments.error
        self.names = set(arguments.calls.split(",")) if arguments.calls else None
        self.calls = CALLS[platform.machine()]
        self.counted, self.fired, self.failing = 0, None, None

    def run(self, program):
        child = os.fork()
        if child == 0:
            libc.ptrace(TRACEME, 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.execvp(program[0], program)
        os.waitpid(child, 0)
        ptrace(SETOPTIONS, child, 0, OPTIONS)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda told, _: os.kill(child, told))
        ptrace(SYSCALL, child)
        known, code = {child}, 1
        while True:
            try:
                pid, status = os.waitpid(-1, WALL)
            except ChildProcessError:
                return code
            if not os.WIFSTOPPED(status):
                if pid == child:
                    code = os.waitstatus_to_exitcode(status)
                    code = 128 - code if code < 0 else code
                continue
            told = os.WSTOPSIG(status)
            passed_on = 0
            if told == signal.SIGTRAP | 0x80:
                self.stopped(pid, child)
            elif status >> 16 == 0 and pid in known:
                passed_on = told
            known.add(pid)
            ptrace(SYSCALL, pid, 0, passed_on)

    def stopped(self, pid, child):
        info = Info()
        if ptrace(GET_SYSCALL_INFO, pid, ctypes.sizeof(info), ctypes.addressof(info)) <= 0:
            return
        if info.op == EXIT and self.failing == pid:
            self.failing = None
            ptrace(POKEUSER, pid, RAX, ctypes.c_ulong(-self.error).value)
        call = self.calls.get(info.nr) if info.op == ENTRY else None
        if call is None or self.fired or (self.names and call[0] not in self.names):
            return
        path = self.changed(pid, call, info.args)
        if path is None:
            return
        self.counted += 1
        if self.counted != self.at:
            return
        self.fired = f"{call[0]} {path}"
        if self.error:
            self.failing = pid
            ptrace(POKEUSER, pid, ORIG_RAX, ctypes.c_ulong(-1).value)
        else:
            os.kill(child, signal.SIGKILL)

    def changed(self, pid, call, arguments):
        """The path below the directory that a call is about to change."""
        _, how, places = call
        if how == OPENED:
            flags = arguments[places[0] + 1]
            if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return None
        for place in places:
            try:
                if how == FD:
                    path = os.readlink(f"/proc/{pid}/fd/{arguments[place]}")
                else:
                    path = text_at(pid, arguments[place])
            except OSError:
                continue
            if (path + "/").startswith(self.below):
                return path
        return None


def text_at(pid, address):
    """The string at an address, which may lie near the end of a page."""
    text = b""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        while b"\0" not in text and len(text) < 4096:
            memory.seek(address + len(text))
            text += memory.read(4096 - (address + len(text)) % 4096)
    return os.fsdecode(text.split(b"\0")[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--below", required=True)
    parser.add_argument("--at", type=int, required=True)
    parser.add_argument("--error", type=lambda name: getattr(errno, name), default=0)
    parser.add_argument("--calls")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    machine = platform.machine()
    if machine not in CALLS or (arguments.error and machine != "x86_64"):
        print(f"syscalls: not possible: this is {machine}", file=sys.stderr)
        sys.exit(NOT_POSSIBLE)
    tracer = Tracer(arguments)
    program = [word for word in arguments.program if word != "--"]
    try:
        code = tracer.run(program)
    except OSError as error:
        print(f"syscalls: not possible: {error}", file=sys.stderr)
        sys.exit(NOT_POSSIBLE)
    if tracer.fired:
        print(f"syscalls: fired at {tracer.counted}: {tracer.fired}", file=sys.stderr)
    else:
        print(f"syscalls: not fired, {tracer.counted} counted", file=sys.stderr)
    sys.stderr.flush()
    sys.exit(code)


main()
