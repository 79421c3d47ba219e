"""The scripts of this adapter."""

from iii_cluster.redis.script import Script

_HERE = "iii_cluster.modules.queue.adapters.redis"

ENQUEUE = Script(_HERE, "enqueue.lua")
ENQUEUE_FIFO = Script(_HERE, "enqueue_fifo.lua")
PUBLISH = Script(_HERE, "publish.lua")
SUBSCRIBE = Script(_HERE, "subscribe.lua")
UNSUBSCRIBE = Script(_HERE, "unsubscribe.lua")
ABANDONED = Script(_HERE, "abandoned.lua")
EXPIRE_GROUP = Script(_HERE, "expire_group.lua")
EXPIRE_BACKLOG = Script(_HERE, "expire_backlog.lua")
LOAD = Script(_HERE, "load.lua")
TURN = Script(_HERE, "turn.lua")
TURN_FIFO = Script(_HERE, "turn_fifo.lua")
BROWSE = Script(_HERE, "browse.lua")
REDRIVE = Script(_HERE, "redrive.lua")
DISCARD = Script(_HERE, "discard.lua")
PURGE = Script(_HERE, "purge.lua")
PURGE_GROUP = Script(_HERE, "purge_group.lua")
STATS = Script(_HERE, "stats.lua")
