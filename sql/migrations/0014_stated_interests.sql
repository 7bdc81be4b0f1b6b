-- What people say of their own interests: stronger than what is believed of them.
set local role nearline_owner;

-- Has a column more now.
drop function if exists nearline.interests(text, integer);

create table nearline_data.stated_interest (
    user_id text not null check (user_id <> '')
  , attribute text not null check (attribute <> '')
  , value text not null check (value <> '')
  , weight double precision not null check (weight >= -1 and weight <= 1 and weight <> 0)
  , said_at timestamptz not null default now()
  , primary key (user_id, attribute, value)
);
comment on table nearline_data.stated_interest is 'What people said of topics themselves, by nearline.set_interest: each is a rule for the lists of that person.';
comment on column nearline_data.stated_interest.user_id is 'The id used in events.';
comment on column nearline_data.stated_interest.attribute is 'Name of the attribute, or kind, or language, as in nearline_data.topic.';
comment on column nearline_data.stated_interest.value is 'Its text.';
comment on column nearline_data.stated_interest.weight is '-1: never show it; below 0: less of it; above 0, up to 1: more of it.';
comment on column nearline_data.stated_interest.said_at is 'When it was said.';
