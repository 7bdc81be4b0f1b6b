-- The time of the newest event, the items of a language, and searches that begin with a few items.
set local role nearline_owner;

-- A BRIN index narrows a range of times, but knows no newest one: trending, freshness and others read the whole ledger for it.
drop index nearline_data.event_occurred_at_idx;
create index event_occurred_at_idx on nearline_data.event (occurred_at);
comment on index nearline_data.event_occurred_at_idx is 'The newest event, and those since a time: nearline.trending, nearline.performance, refresh_interests, archive_events.';

create index item_language_idx on nearline_data.item (split_part(language, '-', 1));
comment on index nearline_data.item_language_idx is 'nearline.recommend: the items of a language that few have.';

drop function if exists nearline_data._exact_wanted(public.vector, integer, text[], jsonpath, text[], text[], jsonpath, integer);
drop function if exists nearline_data._exact_of_kinds(public.vector, integer, text[], text[], text[], jsonpath, integer);

-- "Per kind" was the rule once, and an event's id goes with its time.
comment on column nearline_data.item.kind is 'page, article, product, course, video, film, ...: a list may ask for some kinds, or mix them.';
comment on column nearline_data.event.event_id is 'The application''s own id: the same id and occurred_at again change nothing.';
comment on column nearline_data.erased_user.user_id is 'Whose events, or one of them, were erased.';
