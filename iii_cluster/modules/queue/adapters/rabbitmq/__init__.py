"""Jobs in RabbitMQ, under the names that the reference engine gives them.

names.py       what exchanges and queues are called
messages.py    jobs as messages
connection.py  one connection to the broker, made anew when it is lost
topology.py    exchanges and queues are made when they are needed
publisher.py   messages that the broker has confirmed
schedule.py    which of the messages taken may run now; pure
consumer.py    serves one queue, on the shard that owns it
walk.py        looks through a queue
dead.py        what was given up
topics.py      which groups a topic has, as RabbitMQ does not tell
adapter.py     all of it as the queue module sees it
"""

from importlib.util import find_spec

if find_spec("aio_pika") is None:
    raise ImportError("queues in RabbitMQ need the extra `rabbitmq`: pip install 'iii-cluster[rabbitmq]'")
