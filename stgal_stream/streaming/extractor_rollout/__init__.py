"""From one extractor to the next while the daemon runs.

Each embed worker changes its partitions of the detections; each site changes once all have. What is
where follows from the log alone.

| state     | in the log            | the worker                     | goes on when         |
|-----------|-----------------------|--------------------------------|----------------------|
| at rest   | Switched to target    | embeds with it                 | another target       |
| loading   | Promotion             | loads it beside the old one    | its self-test passes |
| preparing | ReembeddedRecord ...  | embeds the window again        | the window is done   |
| ready     | Prepared, everywhere  | commits what is in the network | the network is empty |
| switched  | Switched, SwitchRecord| embeds with the new one        | at once: at rest     |
| refused   | Refused               | returns to the target before   | at once              |

A site is *holding* from the first ``SwitchRecord`` until every partition is embedded by one
extractor. Then its window changes, and what was held is read again.

- ``state``    what the releases topic says: the target, and where each partition is
- ``worker``   an embed worker's way to the target: where a swap commits
- ``reembed``  the window of one partition, embedded again
- ``marker``   when a site holds, and until when
- ``apply``    the change of a partition's sites
"""
