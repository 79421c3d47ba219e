"""One role of the cluster as a process: `python -m tests.support.role gateway …`, as `iii-cluster gateway …`.

Without the other commands, whose imports are a quarter of what starting a node costs; tests start a thousand.
"""

import sys

from iii_cluster.cli.roles import role_command
from iii_cluster.cluster.map import Role


def main() -> None:
    role_command(Role(sys.argv.pop(1)))()


if __name__ == "__main__":
    main()
