"""A process that tells what it is: `python -m tests.support.fork_probe DOES`, for tests of how processes start."""

import atexit
import gc
import json
import os
import random
import signal
import sys
import threading
import time
from typing import Any


def report() -> dict[str, Any]:
    """As one line of JSON, together with what ends the process."""
    return {
        "argv": sys.argv[1:],
        "path": sys.path[0],
        "cwd": os.getcwd(),
        "env": dict(os.environ),
        "fds": sorted(int(name) for name in os.listdir("/dev/fd") if _is_open(int(name))),
        "group": os.getpgid(0),
        "random": random.random(),
        "frozen": gc.get_freeze_count(),
        "threads": threading.active_count(),
        "handled": sorted(int(number) for number in signal.Signals if _handled(number)),
        "wakes": signal.set_wakeup_fd(-1),
        "packages": sorted({name.partition(".")[0] for name in sys.modules}),
    }


def main() -> None:
    print(json.dumps(report()))
    atexit.register(print, "at exit")
    match sys.argv[1]:
        case "exits":
            raise SystemExit(int(sys.argv[2]))
        case "complains":
            raise SystemExit("there is nothing to do")
        case "fails":
            raise RuntimeError("this fails")
        case "interrupted":
            raise KeyboardInterrupt
        case "waits":
            sys.stdout.flush()
            while True:  # a pause may begin just after the signal it is to be ended by
                time.sleep(0.01)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _handled(number: signal.Signals) -> bool:
    return signal.getsignal(number) is not signal.SIG_DFL


if __name__ == "__main__":
    main()
