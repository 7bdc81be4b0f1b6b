create or replace function nearline.record_exposure(
    of_request uuid
  , to_user text
  , shown_items text[]
  , at_positions integer[] default null
  , with_strategy text default null
  , from_version integer default null
  , happened_at timestamptz default null
)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The moment of the call, not of the transaction: what the same transaction records next is a reaction to it.
    at timestamptz := coalesce(happened_at, clock_timestamp());
    wrong text;
    written integer;
begin
    if of_request is null then
        raise exception 'of_request is null, expected the id of one list that was shown'
            using errcode = '22023', hint = 'Make one for each list with gen_random_uuid(), and keep it for retries.';
    end if;
    if coalesce(to_user, '') = '' then
        raise exception 'to_user is %, expected the id of a person or session', coalesce(quote_literal(to_user), 'null')
            using errcode = '22023', hint = 'Use the same id as in events: clicks find their exposure by it.';
    end if;
    if shown_items is null then
        raise exception 'shown_items is null, expected an array of item ids'
            using errcode = '22023', hint = 'Send an empty array where nothing was shown, or do not call.';
    end if;
    perform nearline_data._check_list(
        'shown_items', shown_items, 1000, 'Record what the person saw, not what was fetched; more of a list may follow with the same request.'
    );
    if '' = any (shown_items) then
        raise exception 'shown_items has '''', expected ids of items'
            using errcode = '22023', hint = 'Send the item_id that came with the list; for a place that showed none, null.';
    end if;
    if cardinality(at_positions) <> cardinality(shown_items) then
        raise exception 'at_positions has % numbers for % items', cardinality(at_positions), cardinality(shown_items)
            using errcode = '22023', hint = 'Send one position for each item, or leave at_positions out: it is then the order of shown_items.';
    end if;
    select coalesce(p.place::text, 'null') into wrong from unnest(at_positions) as p (place) where p.place is null or p.place < 1 limit 1;
    if found then
        raise exception 'at_positions has %, expected whole numbers from 1', wrong
            using errcode = '22023', hint = 'The first place of a list is 1.';
    end if;
    select v.argument || ' has ' || case
               when length(v.given) > 500 then length(v.given) || ' characters, expected at most 500'
               else octet_length(v.given) || ' bytes, expected at most 1000'
           end
    into wrong
    from (
        values ('to_user', to_user), ('with_strategy', with_strategy)
        union all
        select 'an id of shown_items', s.item_id from unnest(shown_items) as s (item_id)
    ) as v (argument, given)
    where length(v.given) > 500 or octet_length(v.given) > 1000
    limit 1;
    if found then
        raise exception '%', wrong
            using errcode = '22023', hint = 'Send the ids and names that nearline.recommend returned.';
    end if;
    if with_strategy = '' then
        raise exception 'with_strategy is '''', expected the name of a strategy'
            using errcode = '22023', hint = 'Send the strategy_used that came with the list.';
    end if;
    if from_version is not null and not exists (select from nearline_data.model_version m where m.model_version = from_version) then
        raise exception 'from_version is %, which is not a known model version', from_version
            using errcode = '22023', hint = 'Send the model_version that nearline.recommend returned, or leave from_version out: it is then the live one.';
    end if;
    if at > clock_timestamp() + interval '5 minutes' then
        raise exception 'happened_at is %, which is in the future', at
            using errcode = '22023', hint = 'Check the clock of the sender, or leave happened_at out: the time is then now.';
    end if;
    if at < clock_timestamp() - interval '180 days' then
        raise exception 'happened_at is %, which is more than 180 days ago', at
            using errcode = '22023', hint = 'Exposures are forgotten after 180 days; send newer ones.';
    end if;

    insert into nearline_data.exposure (request_id, user_id, item_id, list_position, model_version, strategy, shown_at)
    select of_request, to_user, s.item_id, min(coalesce(s.place, s.nth))
         , coalesce(from_version, (select l.model_version from nearline_data.live_version l))
         , coalesce(with_strategy, nearline.strategy_of(to_user, at))
         , at
    from unnest(shown_items, at_positions) with ordinality as s (item_id, place, nth)
    where s.item_id is not null
    group by s.item_id
    order by s.item_id  -- two retries at once wait for each other in one order
    on conflict (request_id, item_id) do nothing;
    get diagnostics written = row_count;

    select x.user_id into wrong from nearline_data.exposure x where x.request_id = of_request and x.user_id <> to_user limit 1;
    if found then
        raise exception 'of_request % is a list of another person than %', of_request, quote_literal(to_user)
            using errcode = '22023', hint = 'Give each list that is shown an id of its own, such as gen_random_uuid(). Nothing was recorded.';
    end if;
    return written;
end
$$;
comment on function nearline.record_exposure is
'Records which items a person was really shown; returns how many were new. A retry with the same request changes nothing, more items of the same list add to it, and the request of another person is refused.
at_positions: where each was shown, from 1; null: the order of shown_items. with_strategy, from_version: strategy_used and model_version as they came with the list. Null: nearline.strategy_of and the live version, which are right only where the list was made just now, for the id of to_user, and the call named no strategy. happened_at: null for now.
  select nearline.record_exposure(of_request => gen_random_uuid(), to_user => ''u42'', shown_items => array[''page-7'', ''item-3''], with_strategy => ''default'', from_version => 12);';
