-- Positions are snapshots, so that an open transaction delays its own events only; shards; what waits, what was erased.
set local role nearline_owner;

-- Made anew with the functions: one reads cursor.position, the other gives more columns.
drop view if exists nearline.freshness;
drop function if exists nearline.recommend(text, integer, text[], text[]);

-- An old position had everything below a transaction: as a snapshot, that with nothing open.
alter table nearline_data.cursor
    alter column position type pg_snapshot using (position || ':' || position || ':')::pg_snapshot
  , add column shard_count integer not null default 1
  , add constraint cursor_shard_is_one_of_them check (shard < shard_count);
comment on column nearline_data.cursor.shard is 'Share of the people, by hash of the user: 0 to shard_count - 1.';
comment on column nearline_data.cursor.shard_count is 'NEARLINE_SHARDS when it was made; all cursors of a version say the same.';
comment on column nearline_data.cursor.position is 'What was read: a snapshot of transactions. Moves in the transaction that writes the vectors.';

alter table nearline_data.user_interest
    alter column position type pg_snapshot using (position || ':' || position || ':')::pg_snapshot;
comment on column nearline_data.user_interest.position is 'What the vector knows: the events of all transactions in this snapshot. Only ever grows.';
comment on table nearline_data.user_interest is 'What each person wants now: a pure function of their newest events in a snapshot. No ANN index: vectors are read by user.';

alter table nearline_data.model_version
    add column fold_keep real not null default 1
  , add column fold_gain real not null default 0.3
  , add column fold_span real not null default 4 check (fold_span > 0);
comment on column nearline_data.model_version.fold_keep is 'What is left of an interest after each event that its vector has not seen; fitted in training.';
comment on column nearline_data.model_version.fold_gain is 'Weight of the newest such event, in parts of a whole interest; fitted in training.';
comment on column nearline_data.model_version.fold_span is 'Events over which that weight falls to a third.';

-- The moment of the insert: in a transaction that has been open for long, what happened just now is not in the future.
alter table nearline_data.event alter column recorded_at set default clock_timestamp();
comment on column nearline_data.event.recorded_at is 'When it was written.';

-- Dropped part by part now.
drop function if exists nearline_data._drop_version_partitions(integer);
drop function if exists nearline_data._keep_house(integer);

alter table nearline_data.refresh_batch
    add column shard integer not null default 0
  , add column seconds real not null default 0;
comment on column nearline_data.refresh_batch.shard is 'The share of people it was for.';
comment on column nearline_data.refresh_batch.seconds is 'How long it took.';

create table nearline_data.waiting_event (
    model_version integer not null
  , item_id text not null
  , user_id text not null
  , primary key (model_version, item_id, user_id)
);
create index waiting_event_user_id_idx on nearline_data.waiting_event (user_id);
comment on index nearline_data.waiting_event_user_id_idx is 'Erasing a person.';
comment on table nearline_data.waiting_event is 'People who did something with an item that has no vector yet: refreshed as soon as it has one.';
comment on column nearline_data.waiting_event.model_version is 'The version whose vector it waits for.';
comment on column nearline_data.waiting_event.item_id is 'The item.';
comment on column nearline_data.waiting_event.user_id is 'The person.';

create table nearline_data.erased_user (
    user_id text not null
  , transaction_id xid8 not null default pg_current_xact_id()
  , erased_at timestamptz not null default now()
  , primary key (user_id, transaction_id)
);
create index erased_user_transaction_id_idx on nearline_data.erased_user (transaction_id);
comment on index nearline_data.erased_user_transaction_id_idx is 'refresh_interests: erasures since a cursor.';
comment on table nearline_data.erased_user is 'Erasures that cursors still have to pass, as a refresh may have been at work on the person; housekeeping forgets them after a day.';
comment on column nearline_data.erased_user.user_id is 'Who asked to be forgotten.';
comment on column nearline_data.erased_user.transaction_id is 'The transaction that erased: the position that cursors follow.';
comment on column nearline_data.erased_user.erased_at is 'When.';

create index item_created_at_idx on nearline_data.item (created_at);
comment on index nearline_data.item_created_at_idx is 'refresh_interests: items that came after the model.';
