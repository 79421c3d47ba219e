"""What goes through a channel arrives in order, nothing left out, nothing twice; a good end means all of it did."""

from collections.abc import Iterator

from iii_cluster.chaos.effects import Transfer
from iii_cluster.chaos.faults.kinds import Target
from iii_cluster.chaos.history import OPEN
from iii_cluster.chaos.limits import CALL

from .evidence import Evidence
from .reach import Reach
from .violation import Violation

ENDS = "every transfer ends"
ORDER = "messages of a channel arrive in their order, none left out, none twice"
COMPLETE = "a transfer that ended well is complete"
EXPLAINED = "no transfer fails without a cause"

NORMAL = 1000
LONGEST = 2 * CALL  # s; what the load itself takes is part of it


def check(evidence: Evidence, reach: Reach) -> Iterator[Violation]:
    for transfer in evidence.history.transfers:
        last = evidence.history.ended if transfer.ended == OPEN else transfer.ended
        if transfer.wrong:
            yield Violation(check=ORDER, at=transfer.at, text=f"{_name(transfer)} had {transfer.wrong}")
        if last == OPEN:
            continue
        if transfer.ended == OPEN or last - transfer.at > LONGEST + evidence.slack(transfer.at, last):
            text = f"{_name(transfer)} has not ended after {last - transfer.at:.1f} s"
            yield Violation(check=ENDS, at=transfer.at, text=text)
        elif transfer.read_code == NORMAL and not complete(transfer):
            text = f"{_name(transfer)} ended well with {transfer.received} of {transfer.sent} messages"
            yield Violation(check=COMPLETE, at=transfer.ended, text=text)
        elif not complete(transfer) and not _explained(reach, transfer):
            why = transfer.trouble or f"writer {transfer.write_code}, reader {transfer.read_code}"
            text = f"{_name(transfer)} failed with {transfer.received} of {transfer.total} messages ({why})"
            yield Violation(check=EXPLAINED, at=transfer.ended, text=text)


def complete(transfer: Transfer) -> bool:
    return transfer.finished and transfer.received == transfer.total and transfer.read_code == NORMAL


def _explained(reach: Reach, transfer: Transfer) -> bool:
    places = {transfer.home, transfer.writer, transfer.reader}
    for window in reach.windows:
        if window.began > transfer.ended or window.until < transfer.at:
            continue
        target = window.kind.target
        if target in (Target.GATEWAY, Target.NETWORK) and ("" in places or places & set(window.fault.gateways)):
            return True
        if target is Target.REDIS and ("" in places or len(places) > 1):
            return True
    return False


def _name(transfer: Transfer) -> str:
    way = f"{transfer.writer or 'a gateway'} -> {transfer.home} -> {transfer.reader or 'a gateway'}"
    return f"transfer {transfer.n} ({way})"
