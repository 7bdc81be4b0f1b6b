-- What nearline.explain wants the nearline job to measure: interests without one event each.
set local role nearline_owner;

create table nearline_data.explanation_wanted (
    user_id text primary key
  , asked_at timestamptz not null default clock_timestamp()
);
comment on table nearline_data.explanation_wanted is 'People of whom nearline.explain was asked and whose interests without single events are not measured yet; refresh_interests takes them a moment later.';
comment on column nearline_data.explanation_wanted.user_id is 'The person.';
comment on column nearline_data.explanation_wanted.asked_at is 'When it was first asked.';

create table nearline_data.interest_without (
    user_id text not null
  , model_version integer not null
  , event_id text not null
  , vector vector(128)
  , interest_at timestamptz not null
  , measured_at timestamptz not null default clock_timestamp()
  , primary key (user_id, model_version, event_id)
);
comment on table nearline_data.interest_without is 'What a person would want without one of their newest events, as the model computes it; of those people only who were asked about, for a day.';
comment on column nearline_data.interest_without.user_id is 'The person.';
comment on column nearline_data.interest_without.model_version is 'The version.';
comment on column nearline_data.interest_without.event_id is 'The event that is left out.';
comment on column nearline_data.interest_without.vector is 'As in user_interest; null where nothing is left that the model could read.';
comment on column nearline_data.interest_without.interest_at is 'updated_at of the row of user_interest that it belongs to: once that was written anew, this counts no more.';
comment on column nearline_data.interest_without.measured_at is 'When it was computed.';
