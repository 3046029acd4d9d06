-- replay_runs: what was decoded again, by whom, with which code, and how many rows that changed. The number of a run is the version of its rows, so a
-- later run goes before an earlier one. The newest row of a run counts.

CREATE TABLE IF NOT EXISTS lodestream.replay_runs
(
    run UInt32 COMMENT 'Number of the run, from 1',
    token String COMMENT 'Tells two runs apart that took one number at the same time: the smaller keeps it',
    updated_ms DateTime64(3, 'UTC'),
    started_ms DateTime64(3, 'UTC'),
    status LowCardinality(String) COMMENT 'running, finished',
    who String COMMENT 'User and host',
    code String COMMENT 'Version of the software',
    options String COMMENT 'Range and filters, JSON',
    counts String COMMENT 'Frames, rows written and withdrawn, JSON'
)
ENGINE = ReplacingMergeTree(updated_ms)
ORDER BY (run, token)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 480;
