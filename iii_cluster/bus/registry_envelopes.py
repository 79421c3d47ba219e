"""What gateways and shards say to each other about functions, trigger types, triggers and services.

Rules of these structs as in `envelopes`, by whose names everybody else knows them.
"""

from msgspec import Struct

from .envelope import Envelope

# -- registry: gateway -> shard ----------------------------------------------------------------------


class Owner(Struct, array_like=True, frozen=True):
    """The connection that registered something: its only owner."""

    node: str
    conn: int
    worker: str


class PutFunction(Envelope, tag=10):
    """`definition` is a JSON object: description, request_format, response_format, metadata.

    `epoch` is the sender's map epoch, `stamp` (unix time in microseconds) tells which registration was first. `realm`
    is empty for workers that may do anything, else it names the listener whose rules they are under: no function has
    owners of two realms, and those of the empty one come first.
    """

    epoch: int
    owner: Owner
    namespace: str
    id: str
    stamp: int
    definition: bytes
    realm: str = ""


class DropFunction(Envelope, tag=11):
    """`back`: the worker was sent to another gateway, so it is expected to register the function again soon."""

    owner: Owner
    namespace: str
    id: str
    back: bool = False


class PutTriggerType(Envelope, tag=12):
    """`definition`: description, trigger_request_format, call_request_format as a JSON object. `realm` as above."""

    epoch: int
    owner: Owner
    namespace: str
    id: str
    stamp: int
    definition: bytes
    realm: str = ""


class DropTriggerType(Envelope, tag=13):
    owner: Owner
    namespace: str
    id: str


class Trigger(Struct, array_like=True, frozen=True):
    """One trigger instance. `namespace` is the target function's, `home` the registering connection's."""

    id: str
    type: str
    function: str
    config: bytes = b"null"
    metadata: bytes = b""
    namespace: str = "default"
    home: str = "default"
    provider_namespace: str | None = None


class PutTrigger(Envelope, tag=14):
    """To the owner of the trigger id's slot: storage, replacement and removal by id."""

    epoch: int
    owner: Owner
    stamp: int
    trigger: Trigger


class DropTrigger(Envelope, tag=15):
    """To the owner of the trigger id's slot, by the owning connection.

    `back`: the worker was sent to another gateway, so it is expected to register the trigger again soon.
    """

    owner: Owner
    id: str
    back: bool = False


class RemoveTrigger(Envelope, tag=16):
    """To the owner of the trigger id's slot, by anyone (`unregistertrigger` checks no ownership).

    `epoch` is the sender's map epoch, 0 if it does not matter: a shard whose map is older waits for that map.
    """

    id: str
    epoch: int = 0


class BindTrigger(Envelope, tag=17):
    """To the owner of the type's slot: bind to the provider or park. A durable trigger has an empty owner."""

    epoch: int
    owner: Owner
    stamp: int
    trigger: Trigger


class UnbindTrigger(Envelope, tag=18):
    """To the owner of the type's slot. `epoch` as in `RemoveTrigger`, `back` as in `DropTrigger`."""

    owner: Owner
    id: str
    type: str
    epoch: int = 0
    back: bool = False


class ProviderAnswer(Envelope, tag=19):
    """A provider's `triggerregistrationresult`; `error` is empty for success. To the owner of the type's slot."""

    provider: Owner
    type: str
    id: str
    error: bytes = b""


class PutService(Envelope, tag=20):
    """`definition`: name, description, parent_service_id as a JSON object."""

    epoch: int
    owner: Owner
    namespace: str
    id: str
    definition: bytes


class Announced(Envelope, tag=21):
    """Everything this gateway's workers registered in moved slots was sent, as of map `epoch`."""

    epoch: int


class Offered(Envelope, tag=22):
    """To the new owner of a type's slot: what the provider was told of so far. What it has no more is withdrawn."""

    epoch: int
    provider: Owner
    type: str
    ids: list[str]


# -- registry: shard -> gateway ----------------------------------------------------------------------


class OfferTrigger(Envelope, tag=30):
    """Send `registertrigger` to the provider on `conn`.

    `again`: the type's slot changed hands, so the provider may have it already; a gateway that knows may skip it.
    `epoch` is the shard's map epoch: what a former owner of the slot sent does not count any more.
    """

    conn: int
    trigger: Trigger
    provider_namespace: str = "default"
    again: bool = False
    epoch: int = 0


class WithdrawTrigger(Envelope, tag=31):
    """Send `unregistertrigger` to the provider on `conn`. `epoch` as in `OfferTrigger`."""

    conn: int
    id: str
    type: str
    epoch: int = 0


class TriggerFailed(Envelope, tag=32):
    """Send a failed `triggerregistrationresult` to the registering connection."""

    conn: int
    id: str
    type: str
    function: str
    error: bytes


class RevokeTrigger(Envelope, tag=33):
    """Connection `conn` no longer owns trigger `id`: removed or replaced from elsewhere. Forget and unbind it.

    `stamp` is that of the registration meant; a newer one crossed this envelope on its way and stays. `removed`: it was
    not replaced, some worker wants it gone.
    """

    conn: int
    id: str
    stamp: int = 0
    removed: bool = False


class RejectFunction(Envelope, tag=34):
    """Policy `reject`: somebody else owns the id. Forget the registration and tell the worker.

    `stamp` as in `RevokeTrigger`.
    """

    conn: int
    namespace: str
    id: str
    owner_worker: str
    stamp: int = 0
