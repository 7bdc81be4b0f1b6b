-- What an event may be worth, and functions that take other arguments now.
set local role nearline_owner;

-- Not asked of the events that are there: it would read them all while everybody waits. NaN is above every number.
alter table nearline_data.event
    add constraint event_value_is_an_amount check (abs(value) <= 1e15) not valid;
comment on constraint event_value_is_an_amount on nearline_data.event is
'A sum of such values is a number too. Events from before it was made may be worth anything; what is beyond it is in no sum.';

-- Takes of_session now.
drop function if exists nearline.recommend_for_session(jsonb, integer, text[], jsonb, text[], double precision, text, boolean, integer);
-- Takes interest_weight now.
drop function if exists nearline_data._near_by_rules(
    vector, integer, text[], jsonpath, text[], text[], jsonpath, nearline_data.rule_in_force[], integer, text
);
comment on column nearline_data.person.user_id is 'Who; of a session its id, null where the call names none.';
