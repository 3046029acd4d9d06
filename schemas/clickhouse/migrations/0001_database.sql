-- The database and the record of what was applied to it. Atomic, whatever the server's default is: EXCHANGE TABLES (rebuilding
-- `latest` after a replay) and refreshable views need it.
--
-- Rules of these files: a statement ends with `;` at the end of a line; every statement can be run twice; a file that was
-- released is never edited (`lodestream migrate` compares checksums), a change is a new file.

CREATE DATABASE IF NOT EXISTS lodestream ENGINE = Atomic;

CREATE TABLE IF NOT EXISTS lodestream.migrations
(
    name String COMMENT 'Name of the file',
    checksum String COMMENT 'SHA-256 of the file, hexadecimal',
    applied_ms DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was applied'
)
ENGINE = MergeTree
ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 480;
