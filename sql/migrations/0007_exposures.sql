-- What became of the lists that people were shown: which exposure an event counts for, and experiments between strategies.
set local role nearline_owner;

-- Takes more now.
drop function if exists nearline.record_exposure(uuid, text, text[]);

-- Not partitioned by time: "once for a request and item" could then only be kept within a partition. An exposure takes about
-- 190 bytes with its indexes, and housekeeping forgets it after 180 days.
alter table nearline_data.exposure
    add column strategy text not null default 'default' check (strategy <> '');
comment on column nearline_data.exposure.strategy is 'The strategy that made the list; "default" outside experiments.';
comment on column nearline_data.exposure.model_version is 'The version that made the list; null before the first was published.';
comment on column nearline_data.exposure.list_position is 'Where it was shown, from 1. What stands higher is clicked more for that alone: compare strategies by experiment, not items by position.';
comment on index nearline_data.exposure_shown_at_idx is 'nearline.performance, nearline.experiment_result and housekeeping: exposures of a span of time.';

create index exposure_user_id_shown_at_idx on nearline_data.exposure (user_id, shown_at desc);
comment on index nearline_data.exposure_user_id_shown_at_idx is 'nearline.erase_user, and what a person was shown lately.';

-- A few pages a partition: the ledger lies nearly in the order of time.
create index event_occurred_at_idx on nearline_data.event using brin (occurred_at);
comment on index nearline_data.event_occurred_at_idx is 'nearline.performance and nearline.experiment_result: the events of some days of a partition.';

create table nearline_data.attribution_window (
    counts_as text primary key check (counts_as in ('click', 'conversion'))
  , lasts interval not null check (lasts > '0' and lasts <= interval '30 days')
);
comment on table nearline_data.attribution_window is 'How long after an exposure an event still counts for it. A change holds for the past too, as performance is counted when it is read.';
comment on column nearline_data.attribution_window.counts_as is 'click or conversion.';
comment on column nearline_data.attribution_window.lasts is 'From the moment it was shown, at most 30 days.';
insert into nearline_data.attribution_window (counts_as, lasts) values
    ('click', '24 hours')
  , ('conversion', '7 days');

alter table nearline_data.event_kind
    add column counts_as text references nearline_data.attribution_window (counts_as)
  , add constraint event_kind_that_counts_is_positive check (counts_as is null or weight > 0);
comment on column nearline_data.event_kind.counts_as is 'What it makes of the exposure before it: a click, a conversion, or null for nothing. Yours to change: update nearline_data.event_kind set counts_as = ''conversion'' where kind = ''cart''.';
-- The rest mostly follows one of these, or happens away from lists.
update nearline_data.event_kind set counts_as = 'click' where kind in ('view', 'click', 'play') and weight > 0;
update nearline_data.event_kind set counts_as = 'conversion' where kind = 'purchase' and weight > 0;

create table nearline_data.experiment (
    name text primary key check (name <> '')
  , starts_at timestamptz not null default now()
  , ends_at timestamptz check (ends_at > starts_at)
  , salt text not null default gen_random_uuid()::text
  , expected_lift double precision not null default 0.1 check (expected_lift > 0 and expected_lift < 'Infinity')
  , constraint experiment_one_at_a_time exclude using gist (tstzrange(starts_at, ends_at) with &&)
);
comment on table nearline_data.experiment is
'Comparisons of strategies on people drawn by hash, one at a time, as a person has one strategy. All in one statement:
  with new as (insert into nearline_data.experiment (name) values (''fresher'') returning name)
  insert into nearline_data.experiment_arm (experiment, strategy, share, is_control)
  select new.name, arm.* from new cross join (values (''default'', 0.5, true), (''fresh'', 0.5, false)) as arm;';
comment on index nearline_data.experiment_one_at_a_time is 'No moment has two experiments.';
comment on column nearline_data.experiment.name is 'Name used in nearline.experiment_result.';
comment on column nearline_data.experiment.starts_at is 'From when people are assigned.';
comment on column nearline_data.experiment.ends_at is 'Until before when; null: until somebody sets it, which the result allows at any moment.';
comment on column nearline_data.experiment.salt is 'Makes people fall into arms independently of other experiments.';
comment on column nearline_data.experiment.expected_lift is 'Difference to the control that is hoped for, as a part of the control''s rate: intervals are narrowest about where it can just be seen. Another value makes them wider, never wrong.';

create table nearline_data.experiment_arm (
    experiment text not null references nearline_data.experiment (name) on delete cascade
  , strategy text not null check (strategy <> '')
  , share numeric not null check (share > 0 and share <= 1)
  , is_control boolean not null default false
  , primary key (experiment, strategy)
);
create unique index experiment_arm_control_idx on nearline_data.experiment_arm (experiment) where is_control;
comment on index nearline_data.experiment_arm_control_idx is 'One control an experiment.';
comment on table nearline_data.experiment_arm is 'The strategies that an experiment compares. Fixed once it has begun: people must not change sides.';
comment on column nearline_data.experiment_arm.experiment is 'The experiment.';
comment on column nearline_data.experiment_arm.strategy is 'What its people get.';
comment on column nearline_data.experiment_arm.share is 'Share of all people, above 0; those of an experiment add up to 1 at most, and who is left has the strategy "default".';
comment on column nearline_data.experiment_arm.is_control is 'True for the one that the others are compared with.';
