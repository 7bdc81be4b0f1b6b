-- What stands between a person and a list: types that the stages of nearline.recommend hand on, and an index for filters.
set local role nearline_owner;

-- Made anew with more arguments and columns.
drop function if exists nearline.recommend(text, integer, text[], text[]);

create type nearline_data.recent_event as (
    event_id text
  , item_id text
  , kind text
  , words text
  , phrase text
  , weight real
  , decay double precision
  , is_unseen boolean
  , recorded_at timestamptz
  , vector vector(128)
);
comment on type nearline_data.recent_event is 'One of a person''s newest events, with what it means in one model version.';
comment on column nearline_data.recent_event.event_id is 'Its id.';
comment on column nearline_data.recent_event.item_id is 'The item; null for a search.';
comment on column nearline_data.recent_event.kind is 'What was done.';
comment on column nearline_data.recent_event.words is 'What was typed, its first 500 characters.';
comment on column nearline_data.recent_event.phrase is 'How a reason reads.';
comment on column nearline_data.recent_event.weight is 'What its kind says about liking.';
comment on column nearline_data.recent_event.decay is 'exp(-place / 4) among events of the same sort, the newest 1.';
comment on column nearline_data.recent_event.is_unseen is 'The stored interest does not know it.';
comment on column nearline_data.recent_event.recorded_at is 'When it was written.';
comment on column nearline_data.recent_event.vector is 'Of its item, or of its words; null where there is none yet.';

create type nearline_data.person as (
    user_id text
  , interest vector(128)
  , as_of timestamptz
  , events_folded integer
  , lag interval
  , recent nearline_data.recent_event[]
  , seen text[]
);
comment on type nearline_data.person is 'What a list is made from.';
comment on column nearline_data.person.user_id is 'Who; null for a session.';
comment on column nearline_data.person.interest is 'What they want now, newest events folded in; null where nothing is known.';
comment on column nearline_data.person.as_of is 'When the stored interest was written; null if there is none.';
comment on column nearline_data.person.events_folded is 'Newer events that were folded into it.';
comment on column nearline_data.person.lag is 'How long the oldest of those has waited.';
comment on column nearline_data.person.recent is 'The newest 30 events, newest first.';
comment on column nearline_data.person.seen is 'Items that are left out.';

create type nearline_data.candidate as (
    item_id text
  , kind text
  , title text
  , interest_part real
  , transition_part real
  , popular_part real
  , fresh_part real
  , score real
);
comment on type nearline_data.candidate is 'An item on its way into a list; a part is null where it says nothing of the item.';
comment on column nearline_data.candidate.item_id is 'The item.';
comment on column nearline_data.candidate.kind is 'Its kind.';
comment on column nearline_data.candidate.title is 'Its title.';
comment on column nearline_data.candidate.interest_part is 'Inner product with the interest, in standard deviations over the catalogue, times the strategy''s weight.';
comment on column nearline_data.candidate.transition_part is 'How likely it follows the last events, times the weight of the transitions.';
comment on column nearline_data.candidate.popular_part is 'Share of the most popular item''s score, where a strategy asks for it or nothing else is known.';
comment on column nearline_data.candidate.fresh_part is 'For being new, where a strategy asks for it.';
comment on column nearline_data.candidate.score is 'What the list is sorted by.';

create index item_attributes_idx on nearline_data.item using gin (attributes jsonb_path_ops) where is_active;
comment on index nearline_data.item_attributes_idx is 'nearline.recommend: items matching a filter, by equality.';
