create or replace function nearline_data._check_list(argument text, list text[], most integer, hint text)
returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if array_ndims(list) > 1 then
        raise exception '% has % dimensions, expected a list of texts', argument, array_ndims(list)
            using errcode = '22023', hint = 'Such as array[''one'', ''two''].';
    end if;
    if cardinality(list) > most then
        raise exception '% has % entries, expected at most %', argument, cardinality(list), most
            using errcode = '54000', hint = hint;
    end if;
end
$$;
comment on function nearline_data._check_list is 'Refuses an array that is no list, or too long for a call.';

create or replace function nearline_data._left_out(exclude text[], item_kinds text[], seen_kinds text[])
returns text[]
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    hint constant text := 'Ask for less at once. What a person has touched is left out without being named.';
    unknown text;
begin
    if greatest(array_ndims(exclude), array_ndims(item_kinds), array_ndims(seen_kinds)) > 1
       or cardinality(exclude) > 10000 or greatest(cardinality(item_kinds), cardinality(seen_kinds)) > 100 then
        perform nearline_data._check_list('exclude', exclude, 10000, hint);
        perform nearline_data._check_list('item_kinds', item_kinds, 100, hint);
        perform nearline_data._check_list('seen_kinds', seen_kinds, 100, hint);
    end if;
    if seen_kinds <> '{}' then
        select k.kind into unknown
        from unnest(seen_kinds) as k (kind)
        where k.kind is not null and not exists (select from nearline_data.event_kind e where e.kind = k.kind)
        limit 1;
        if found then
            raise exception 'seen_kinds has %, expected some of: %', quote_literal(left(unknown, 100))
              , (select string_agg(e.kind, ', ' order by e.kind) from nearline_data.event_kind e)
                using errcode = '22023', hint = 'Kinds of events, not of items: array[''purchase''].';
        end if;
    end if;
    return array_remove(exclude, null);
end
$$;
comment on function nearline_data._left_out is 'The items of a call to leave out; refuses arrays that are too long for a call or no lists, and kinds of events that are none.';

create or replace function nearline_data._check_json(argument text, content jsonb)
returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The depth first: what is too deep need not be written out.
    if jsonb_path_exists(content, 'strict $.**{21}') then
        raise exception '% is nested deeper than 20 levels', argument
            using errcode = '54000', hint = 'Send it flatter, or as one text.';
    end if;
    if length(content::text) > 100000 then
        raise exception '% has % characters, expected at most 100000', argument, length(content::text)
            using errcode = '54000', hint = 'Keep documents where they are, and send their ids.';
    end if;
end
$$;
comment on function nearline_data._check_json is 'Refuses JSON that is too deep or too long to be a property of something.';

create or replace function nearline_data._span(argument text, span interval)
returns interval
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if span is null or span <= '0' then
        raise exception '% is %, expected a time above 0', argument, coalesce(quote_literal(span), 'null')
            using errcode = '22023', hint = 'Such as ''1 hour'' or ''7 days''.';
    end if;
    return least(span, '1000 years');  -- before any event, and within what Postgres can count back to
end
$$;
comment on function nearline_data._span is 'A time to look back; refuses one that goes nowhere.';
