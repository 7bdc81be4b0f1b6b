-- What the models learnt, per version, and where the refresh of interests stands.
set local role nearline_owner;

create table nearline_data.model_version (
    model_version integer primary key check (model_version > 0)
  , mlflow_run_id text not null
  , transition_weight real not null
  , score_covariance real[]
  , fallback_scale real not null default 1
  , item_count integer not null default 0
  , metrics jsonb not null default '{}'
  , created_at timestamptz not null default now()
  , published_at timestamptz
);
comment on table nearline_data.model_version is 'Model versions whose vectors are, or were, in this database.';
comment on column nearline_data.model_version.model_version is 'The version number of nearline-interest in the MLflow registry.';
comment on column nearline_data.model_version.mlflow_run_id is 'The MLflow run that trained it.';
comment on column nearline_data.model_version.transition_weight is 'Weight of the transition part of a score against one standard deviation of the interest part.';
comment on column nearline_data.model_version.score_covariance is 'Covariance of the item vectors, 128 x 128 by rows: interest vectors are scaled by it.';
comment on column nearline_data.model_version.fallback_scale is 'Scale of the mean item vector that stands in for a person''s interest until it is computed.';
comment on column nearline_data.model_version.item_count is 'Items with a vector.';
comment on column nearline_data.model_version.metrics is 'How it was judged before publication.';
comment on column nearline_data.model_version.created_at is 'When its loading began.';
comment on column nearline_data.model_version.published_at is 'When it first went live; null: not yet.';

create table nearline_data.live_version (
    singleton boolean primary key default true check (singleton)
  , model_version integer not null references nearline_data.model_version (model_version)
  , live_since timestamptz not null default now()
);
comment on table nearline_data.live_version is 'The one version that is served. Nothing ever compares vectors of two versions.';
comment on column nearline_data.live_version.singleton is 'Always true: there is one row at most.';
comment on column nearline_data.live_version.model_version is 'The version.';
comment on column nearline_data.live_version.live_since is 'Since when.';

create table nearline_data.promotion (
    promotion_id bigint generated always as identity primary key
  , model_version integer not null
  , previous_version integer
  , promoted_by text not null
  , reason text not null
  , metrics jsonb not null default '{}'
  , promoted_at timestamptz not null default now()
);
comment on table nearline_data.promotion is 'Every change of the live version: who, when, from, to, why.';
comment on column nearline_data.promotion.promotion_id is 'Order.';
comment on column nearline_data.promotion.model_version is 'The version that went live.';
comment on column nearline_data.promotion.previous_version is 'The one it replaced; null: the first.';
comment on column nearline_data.promotion.promoted_by is 'Who: a DAG run or a person.';
comment on column nearline_data.promotion.reason is 'Why.';
comment on column nearline_data.promotion.metrics is 'The judgement it was promoted on.';
comment on column nearline_data.promotion.promoted_at is 'When.';

-- 128 is part of the schema, not a setting: functions bind to the type, and an index needs one length.
create table nearline_data.item_embedding (
    model_version integer not null
  , item_id text not null
  , kind text not null
  , vector vector(128) not null
) partition by list (model_version);
comment on table nearline_data.item_embedding is 'What each item means: one partition a model version, loaded, then indexed. Only vectors live here, as HNSW makes every update slow.';
comment on column nearline_data.item_embedding.model_version is 'The version.';
comment on column nearline_data.item_embedding.item_id is 'The item.';
comment on column nearline_data.item_embedding.kind is 'Its kind, repeated here so that the nearest of a kind need no join.';
comment on column nearline_data.item_embedding.vector is '128 numbers; the inner product with an interest vector is a score.';

create table nearline_data.item_transition (
    model_version integer not null
  , item_id text not null
  , next_item_id text not null
  , weight real not null check (weight > 0)
) partition by list (model_version);
comment on table nearline_data.item_transition is 'The likeliest successors of each item, the Markov view of interest: sparse, at most 100 an item.';
comment on column nearline_data.item_transition.model_version is 'The version.';
comment on column nearline_data.item_transition.item_id is 'What a person took.';
comment on column nearline_data.item_transition.next_item_id is 'What people take next.';
comment on column nearline_data.item_transition.weight is 'How likely, above 0 and at most 1.';

create table nearline_data.query_embedding (
    model_version integer not null
  , query text not null check (length(query) <= 500)
  , vector vector(128) not null
  , primary key (model_version, query)
) partition by list (model_version);
comment on table nearline_data.query_embedding is 'What each search meant, encoded once: the cache of refresh_interests and the ground of reasons.';
comment on column nearline_data.query_embedding.model_version is 'The version.';
comment on column nearline_data.query_embedding.query is 'The text as it was typed, its first 500 characters.';
comment on column nearline_data.query_embedding.vector is '128 numbers in the space of the item vectors.';

create table nearline_data.user_interest (
    model_version integer not null
  , user_id text not null
  , vector vector(128) not null
  , position xid8 not null
  , event_count integer not null
  , newest_event_at timestamptz not null
  , updated_at timestamptz not null default now()
  , primary key (model_version, user_id)
) partition by list (model_version);
comment on table nearline_data.user_interest is 'What each person wants now: a pure function of their newest events below a position. No ANN index: vectors are read by user.';
comment on column nearline_data.user_interest.model_version is 'The version.';
comment on column nearline_data.user_interest.user_id is 'The person.';
comment on column nearline_data.user_interest.vector is '128 numbers, scaled so that scores over the catalogue have a standard deviation of 1.';
comment on column nearline_data.user_interest.position is 'All committed transactions below it are in the vector. Never replaced by an older one.';
comment on column nearline_data.user_interest.event_count is 'Events it was made from, at most NEARLINE_HISTORY_LENGTH.';
comment on column nearline_data.user_interest.newest_event_at is 'When the newest of them happened.';
comment on column nearline_data.user_interest.updated_at is 'When it was written.';

create table nearline_data.cursor (
    model_version integer not null references nearline_data.model_version (model_version) on delete cascade
  , shard integer not null default 0 check (shard >= 0)
  , position xid8 not null
  , moved_at timestamptz not null default now()
  , primary key (model_version, shard)
);
comment on table nearline_data.cursor is 'How far refresh_interests has read the ledger, per version and shard of users.';
comment on column nearline_data.cursor.model_version is 'The version whose vectors follow it.';
comment on column nearline_data.cursor.shard is 'Share of users; 0 while there is one.';
comment on column nearline_data.cursor.position is 'Transactions below it are done. Moves in the transaction that writes the vectors.';
comment on column nearline_data.cursor.moved_at is 'When it last moved.';

create table nearline_data.refresh_batch (
    batch_id bigint generated always as identity primary key
  , model_version integer not null
  , event_count integer not null
  , user_count integer not null
  , lag_ms real[] not null
  , finished_at timestamptz not null default clock_timestamp()
);
create index refresh_batch_finished_at_idx on nearline_data.refresh_batch (finished_at);
comment on index nearline_data.refresh_batch_finished_at_idx is 'nearline.freshness reads the last hour; housekeeping drops old rows.';
comment on table nearline_data.refresh_batch is 'One row for each batch that refresh_interests wrote; kept for a day.';
comment on column nearline_data.refresh_batch.batch_id is 'Order.';
comment on column nearline_data.refresh_batch.model_version is 'The version.';
comment on column nearline_data.refresh_batch.event_count is 'New events read.';
comment on column nearline_data.refresh_batch.user_count is 'Vectors written.';
comment on column nearline_data.refresh_batch.lag_ms is 'For each event, milliseconds from recorded_at to the write of the vector.';
comment on column nearline_data.refresh_batch.finished_at is 'When it was written.';

create table nearline_data.exposure (
    request_id uuid not null
  , user_id text not null
  , item_id text not null
  , list_position integer not null check (list_position > 0)
  , model_version integer
  , shown_at timestamptz not null default now()
  , primary key (request_id, item_id)
);
create index exposure_shown_at_idx on nearline_data.exposure (shown_at);
comment on index nearline_data.exposure_shown_at_idx is 'Housekeeping.';
comment on table nearline_data.exposure is 'Which recommendations a person was really shown; written by nearline.record_exposure.';
comment on column nearline_data.exposure.request_id is 'One list that was shown, named by the application.';
comment on column nearline_data.exposure.user_id is 'Who saw it.';
comment on column nearline_data.exposure.item_id is 'What was shown.';
comment on column nearline_data.exposure.list_position is 'Where in the list, from 1.';
comment on column nearline_data.exposure.model_version is 'The version that was live.';
comment on column nearline_data.exposure.shown_at is 'When.';
