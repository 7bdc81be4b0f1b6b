-- Business rules as rows, and what nearline.plan shows: the stages of a list.
set local role nearline_owner;

-- Takes caps now.
drop function if exists nearline_data._diversified(nearline_data.candidate[], integer, double precision, integer);
-- Take what is blocked.
drop function if exists nearline_data._nearest_wanted(vector, integer, text[], jsonpath, text[], text[], integer);
drop function if exists nearline_data._exact_wanted(vector, integer, text[], jsonpath, text[], text[], integer);
drop function if exists nearline_data._exact_of_kinds(vector, integer, text[], text[], text[], integer);
drop function if exists nearline_data._popular(text[], jsonpath, text[], text[], integer);
drop function if exists nearline_data._candidates(
    vector, integer, nearline_data.recent_event[], text[], real[], text[], jsonpath, text[], text[], nearline_data.strategy, text, integer
);

create table nearline_data.rule (
    name text primary key check (name <> '' and length(name) <= 100)
  , action text not null check (action in ('pin', 'boost', 'bury', 'block', 'cap'))
  , item_ids text[]
  , item_kinds text[]
  , matching jsonb
  , at_position integer
  , strength real
  , at_most integer
  , per text
  , valid_from timestamptz not null default now()
  , valid_to timestamptz
  , for_strategies text[]
  , for_audience text check (for_audience <> '')
  , is_draft boolean not null default false
  , phrase text not null default 'featured' check (phrase <> '')
  , description text not null default ''
  , path jsonpath
  , attributes_path jsonpath
  , constraint rule_ends_after_it_begins check (valid_to > valid_from)
  , constraint rule_lists_are_lists check (
        coalesce(array_ndims(item_ids) = 1 and cardinality(item_ids) <= 100 and array_position(item_ids, null) is null, item_ids is null)
        and coalesce(array_ndims(item_kinds) = 1 and cardinality(item_kinds) <= 100 and array_position(item_kinds, null) is null, item_kinds is null)
        and coalesce(
            array_ndims(for_strategies) = 1 and cardinality(for_strategies) <= 100 and array_position(for_strategies, null) is null
          , for_strategies is null
        )
    )
  , constraint rule_names_items_or_describes_them check (item_ids is null or (item_kinds is null and matching is null))
  , constraint rule_says_which_items check (action = 'cap' or item_ids is not null or path is not null)
  , constraint pin_names_items_and_a_position check (
        (action = 'pin') = (at_position is not null) and (action <> 'pin' or (item_ids is not null and at_position between 1 and 1000))
    )
  , constraint boost_and_bury_have_a_strength check (
        (action in ('boost', 'bury')) = (strength is not null) and (strength is null or (strength > 0 and strength <= 1000))
    )
  , constraint cap_says_how_many_per_what check (
        (action = 'cap') = (at_most is not null) and (action = 'cap') = (per is not null)
        and (action <> 'cap' or (at_most between 1 and 1000 and per <> '' and item_ids is null))
    )
);
comment on table nearline_data.rule is
'What the business wants of every list, whatever the model says; effective at the next query. Which items: item_ids, or item_kinds and matching (all that is given must hold). In a list blocks come first, then boosts and buries, then diversity and caps, and pins last. nearline.try_rules shows what a rule would change before it does: insert it with is_draft. For example:
  insert into nearline_data.rule (name, action, item_ids, at_position, valid_to) values (''guide of the week'', ''pin'', array[''page-7''], 1, now() + interval ''7 days'');
  insert into nearline_data.rule (name, action, matching, strength) values (''clear the winter stock'', ''boost'', ''{"season": "winter"}'', 0.5);
  insert into nearline_data.rule (name, action, per, at_most) values (''no seller takes a list'', ''cap'', ''seller'', 2);
  insert into nearline_data.rule (name, action, item_kinds, matching) values (''recalled'', ''block'', array[''product''], ''{"batch": ["B7", "B8"]}'');';
comment on column nearline_data.rule.name is 'Stands in the reason of each item that the rule moves, for the application to read.';
comment on column nearline_data.rule.action is 'pin: stands at at_position for everybody who may see it. boost, bury: strength is added to the score, or taken from it. block: is in no list. cap: at most at_most items of a list have the same value of the attribute per.';
comment on column nearline_data.rule.item_ids is 'The items by id; of a pin the first at its position and the others after it. null: as item_kinds and matching say.';
comment on column nearline_data.rule.item_kinds is 'Items of these kinds; null: of all.';
comment on column nearline_data.rule.matching is 'Items with these attributes, as matching of nearline.recommend; null: with any.';
comment on column nearline_data.rule.at_position is 'Of a pin: where in the list, from 1; in a shorter list at the end. Two pins at one position stand in the order of their names.';
comment on column nearline_data.rule.strength is 'Of boost and bury: in standard deviations of a person''s scores over the catalogue; 0.5 is a nudge, 3 decides.';
comment on column nearline_data.rule.at_most is 'Of a cap: how many items of a list; pinned items count, and stand whatever it says.';
comment on column nearline_data.rule.per is 'Of a cap: an attribute such as seller, or kind, or language; an item without it is not capped, one with several values counts for each.';
comment on column nearline_data.rule.valid_from is 'From when it holds.';
comment on column nearline_data.rule.valid_to is 'Until before when; null: until it is deleted.';
comment on column nearline_data.rule.for_strategies is 'Only lists made by these strategies, so that a rule can be an arm of an experiment; null: all.';
comment on column nearline_data.rule.for_audience is 'Only people of this audience, see nearline_data.audience_member; null: everybody, sessions too.';
comment on column nearline_data.rule.is_draft is 'True: changes no list; nearline.try_rules shows what it would change.';
comment on column nearline_data.rule.phrase is 'What a person reads as the reason of an item that is in the list for this rule alone, such as "chosen by our editors".';
comment on column nearline_data.rule.description is 'What it is for.';
comment on column nearline_data.rule.path is 'Written by a trigger: item_kinds and matching as one JSON path over the attributes, with $kind and $language.';
comment on column nearline_data.rule.attributes_path is 'Written by a trigger: what matching asks of attributes, which item_attributes_idx can serve.';

create table nearline_data.audience_member (
    audience text not null check (audience <> '')
  , user_id text not null check (user_id <> '')
  , primary key (user_id, audience)
);
comment on table nearline_data.audience_member is 'Groups of people that rules are made for, such as members of a club. A person may be in several.';
comment on column nearline_data.audience_member.audience is 'Name used in rules.';
comment on column nearline_data.audience_member.user_id is 'The id used in events.';

create type nearline_data.rule_in_force as (
    name text
  , action text
  , item_ids text[]
  , item_kinds text[]
  , path jsonpath
  , attributes_path jsonpath
  , at_position integer
  , strength real
  , at_most integer
  , per text
  , phrase text
);
comment on type nearline_data.rule_in_force is 'What a list needs to know of a rule that holds for it.';
comment on column nearline_data.rule_in_force.name is 'As of nearline_data.rule.';
comment on column nearline_data.rule_in_force.action is 'As of nearline_data.rule.';
comment on column nearline_data.rule_in_force.item_ids is 'As of nearline_data.rule.';
comment on column nearline_data.rule_in_force.item_kinds is 'As of nearline_data.rule; part of path too.';
comment on column nearline_data.rule_in_force.path is 'Which items; null: those of item_ids, or all.';
comment on column nearline_data.rule_in_force.attributes_path is 'What path asks of attributes alone.';
comment on column nearline_data.rule_in_force.at_position is 'As of nearline_data.rule.';
comment on column nearline_data.rule_in_force.strength is 'As of nearline_data.rule.';
comment on column nearline_data.rule_in_force.at_most is 'As of nearline_data.rule.';
comment on column nearline_data.rule_in_force.per is 'As of nearline_data.rule.';
comment on column nearline_data.rule_in_force.phrase is 'As of nearline_data.rule.';

create type nearline_data.ruled_item as (
    item nearline_data.candidate
  , rules text[]
  , phrase text
  , pin_place integer
  , capped_by integer[]
);
comment on type nearline_data.ruled_item is 'An item on its way into a list with what the rules say of it.';
comment on column nearline_data.ruled_item.item is 'The item; its score knows boosts and buries.';
comment on column nearline_data.ruled_item.rules is 'The rules that move it; null: none.';
comment on column nearline_data.ruled_item.phrase is 'What its reason reads where nothing else speaks for it.';
comment on column nearline_data.ruled_item.pin_place is 'Order among the pinned items; null: not pinned.';
comment on column nearline_data.ruled_item.capped_by is 'The groups that it counts for, as numbered in a list''s caps.';

create type nearline_data.stage as (
    stage text
  , detail text
  , items_in integer
  , items_out integer
  , ms double precision
);
comment on type nearline_data.stage is 'One step in the making of a list.';
comment on column nearline_data.stage.stage is 'Its name.';
comment on column nearline_data.stage.detail is 'What was done, and why so.';
comment on column nearline_data.stage.items_in is 'Items before it; null where it begins with none.';
comment on column nearline_data.stage.items_out is 'Items after it.';
comment on column nearline_data.stage.ms is 'How long it took.';

create type nearline_data.near_items as (
    item_ids text[]
  , similarities real[]
  , how text
);
comment on type nearline_data.near_items is 'Items nearest to an interest.';
comment on column nearline_data.near_items.item_ids is 'The items, nearest first.';
comment on column nearline_data.near_items.similarities is 'How near each is.';
comment on column nearline_data.near_items.how is 'Which search found them, and why that one.';

create type nearline_data.listing as (
    pool nearline_data.candidate[]
  , reasons jsonb[]
  , shortfall text
  , stages nearline_data.stage[]
);
comment on type nearline_data.listing is 'A list and how it came about.';
comment on column nearline_data.listing.pool is 'Its items, first to last.';
comment on column nearline_data.listing.reasons is 'Their reasons, in the same order; null where none were asked for.';
comment on column nearline_data.listing.shortfall is 'Why there are fewer than were asked for; null if there are as many.';
comment on column nearline_data.listing.stages is 'The steps; null where none were asked for.';
