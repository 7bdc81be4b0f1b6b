-- A folder that is not mounted looks like one that nothing was archived to: the training would learn without the years that are
-- there, and the next partition would be written where nobody looks for it.
set local role nearline_owner;

create table nearline_data.archived_partition (
    partition_name text primary key
  , row_count bigint not null
  , archived_at timestamptz not null default now()
);
comment on table nearline_data.archived_partition is 'Partitions of event that were moved to the archive: while there are any, the archive has to be there. To do without it for good, delete them.';
comment on column nearline_data.archived_partition.partition_name is 'The partition that was dropped.';
comment on column nearline_data.archived_partition.row_count is 'Events that it had, when it was last dropped.';
comment on column nearline_data.archived_partition.archived_at is 'When it was last dropped.';
