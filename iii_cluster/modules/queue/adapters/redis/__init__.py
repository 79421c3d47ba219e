"""Jobs in the cluster's Redis. Each queue has one lane or several; one shard owns and serves a lane.

Keys of a lane, all behind `{cluster}:queue:<lane>:`. Ids are job ids; times are ms of Redis' clock.

| key        | type | what                                                                                       |
|------------|------|--------------------------------------------------------------------------------------------|
| `jobs`     | hash | id -> `Job` as msgpack: everything that is not done, dead ones too                           |
| `tries`    | hash | id -> "<failed attempts>/<times redriven>", when not "0/0"                                   |
| `waiting`  | list | ids, the next one left; standard lanes                                                     |
| `delayed`  | zset | ids by due time; in fifo lanes message groups whose oldest job is not due                    |
| `active`   | zset | ids in flight, by the end of their lease                                                     |
| `groups`   | zset | fifo lanes: message groups with a job to take, by how long they have waited                  |
| `group:<g>`| list | fifo lanes: ids of a message group, the oldest left; it stays there while in flight          |
| `due`      | hash | fifo lanes: id -> due time, of jobs that their sender delayed                                |
| `dead`     | zset | ids of dead letters, by when they were given up                                              |
| `errors`   | hash | id -> error body of a dead letter                                                            |
| `done`     | zset | ids lately done, by when: an enqueue that is sent again must not begin them anew              |
| `token`    | str  | "<highest fencing token seen> <number of its owner's last turn>"                            |

Of all lanes: `{cluster}:queues:lanes` (set of lane ids), `...:topics` (set of topics with groups or messages),
`...:subscribers:<topic>` (set: lanes of the topic's groups), `...:attended` (zset: lanes of groups by when they last
had triggers, and backlogs by the time of their oldest message).
"""
