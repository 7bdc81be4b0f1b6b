create or replace function nearline_data._pairs_of(words text)
returns text[]
language sql immutable parallel safe
begin atomic
    select array_agg(distinct substr(lower(words), place, 2)) from generate_series(1, length(words) - 1) as place;
end;
comment on function nearline_data._pairs_of is 'The pairs of letters that stand side by side in a text.';

create or replace function nearline_data._topics_like(topic text)
returns text
language sql stable parallel safe
begin atomic
    -- Dice (1945) over pairs of letters; of a large catalogue the topics of that attribute, and the most common ones.
    with asked as materialized (
        select nearline_data._pairs_of(left(topic, 200)) as pairs
    ), known as materialized (
        select o.attribute || ': ' || o.value as name, o.item_count
        from nearline_data.topic o
        order by o.attribute = split_part(topic, ': ', 1) desc, o.item_count desc, o.attribute, o.value
        limit 500
    )
    select string_agg(n.name, ', ' order by n.likeness desc, n.item_count desc, n.name)
    from (
        select k.name, k.item_count
             , 2.0 * (select count(*) from unnest(p.pairs) as x (pair) where x.pair = any (a.pairs))
               / (cardinality(p.pairs) + coalesce(cardinality(a.pairs), 0)) as likeness
        from known k
        cross join asked a
        cross join lateral (select nearline_data._pairs_of(k.name) as pairs) p
        order by likeness desc, k.item_count desc, k.name
        limit 5
    ) n;
end;
comment on function nearline_data._topics_like is 'The five topics of the catalogue that read most like a text, for a message.';

create or replace function nearline.set_interest(of_user text, topic text, weight double precision)
returns double precision
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    found_attribute text;
    found_value text;
    said_before double precision;
begin
    if coalesce(of_user, '') = '' or length(of_user) > 500 or octet_length(of_user) > 1000 then
        raise exception 'of_user is %, expected the id of a person or session', coalesce(quote_literal(left(of_user, 40)), 'null')
            using errcode = '22023', hint = 'It is the id used in events, of at most 500 characters and 1000 bytes.';
    end if;
    if weight is null or weight < -1 or weight > 1 then
        raise exception 'weight is %, expected a number from -1 to 1', coalesce(weight::text, 'null')
            using errcode = '22023', hint = '-1 means never, above 0 more; 0 takes back what was said.';
    end if;
    -- Either part of a topic may hold the separator: each place where it stands is tried. What somebody said of a topic
    -- that the catalogue has no more can be taken back.
    select t.attribute, t.value, s.weight into found_attribute, found_value, said_before
    from (
        select left(set_interest.topic, place - 1) as attribute, substr(set_interest.topic, place + 2) as value
        from generate_series(1, least(length(set_interest.topic), 1000)) as place
        where substr(set_interest.topic, place, 2) = ': '
    ) t
    left join lateral (
        select i.weight from nearline_data.stated_interest i
        where i.user_id = of_user and i.attribute = t.attribute and i.value = t.value
        limit 1  -- a look into the index, never a join with all topics
    ) s on true
    left join lateral (
        select true as is_known from nearline_data.topic o where o.attribute = t.attribute and o.value = t.value limit 1
    ) o on true
    where s.weight is not null or o.is_known
    order by length(t.attribute)
    limit 1;
    if not found then
        raise exception 'topic is %, which the catalogue does not have', coalesce(quote_literal(left(topic, 100)), 'null')
            using errcode = '22023'
                , hint = coalesce(
                      'Those that read most like it: ' || nearline_data._topics_like(coalesce(topic, '')) || '.'
                    , 'The topics of the catalogue are counted every day; none are yet.'
                  );
    end if;
    if weight = 0 then
        delete from nearline_data.stated_interest s
        where s.user_id = of_user and s.attribute = found_attribute and s.value = found_value;
        return said_before;
    end if;
    if said_before is null and (select count(*) >= 100 from nearline_data.stated_interest s where s.user_id = of_user) then
        raise exception '% has said something of 100 topics, expected at most 100', quote_literal(of_user)
            using errcode = '54000', hint = 'Take something back with a weight of 0; nearline.interests shows what was said.';
    end if;
    insert into nearline_data.stated_interest as old (user_id, attribute, value, weight)
    values (of_user, found_attribute, found_value, set_interest.weight)
    on conflict (user_id, attribute, value) do update set weight = excluded.weight, said_at = excluded.said_at;
    return said_before;
end
$$;
comment on function nearline.set_interest is
'Corrects what nearline.interests says of a person, in their own words; it holds from the next query on, until they take it back. topic: as nearline.interests names it, such as ''brand: Tern'' or ''kind: page''. weight: -1 never shows items of that topic again; above -1 and below 0 shows fewer, above 0 and up to 1 more: twice the weight is added to the score of each, in standard deviations of the person''s scores; 0 takes back what was said. At most 100 topics a person. Returns what they had said before; null: nothing.
  select nearline.set_interest(of_user => ''u42'', topic => ''brand: Tern'', weight => 1);
  select nearline.set_interest(of_user => ''u42'', topic => ''kind: video'', weight => -1);';
