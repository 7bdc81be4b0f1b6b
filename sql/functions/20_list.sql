create or replace function nearline_data._staged(
    stages nearline_data.stage[], since timestamptz, stage text, detail text, items_in integer, items_out integer
)
returns nearline_data.stage[]
language sql volatile parallel safe
begin atomic
    select stages || row(
        stage, detail, items_in, items_out, round(extract(epoch from clock_timestamp() - since) * 1000, 3)
    )::nearline_data.stage;
end;
comment on function nearline_data._staged is 'The stages of a list and one more, which began at a time and ends now.';

create or replace function nearline_data._items_of(of_version integer)
returns integer
language sql stable parallel safe
begin atomic
    select m.item_count from nearline_data.model_version m where m.model_version = of_version;
end;
comment on function nearline_data._items_of is 'How many items have a vector in a version.';

create or replace function nearline_data._listing(
    for_person nearline_data.person, of_version integer, max_items integer, item_kinds text[], matching jsonb
  , diversity double precision, with_reasons boolean, by_strategy nearline_data.strategy
  , with_drafts text[] default null, leaving_out text[] default null, with_stages boolean default false
)
returns nearline_data.listing
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted constant integer := least(greatest(coalesce(max_items, 10), 0), 1000);
    asked constant integer := greatest(coalesce(max_items, 10), 0);
    how_diverse constant double precision := coalesce(diversity, by_strategy.diversity);
    -- To be diverse, or to leave something to chance, is to choose among more.
    pool_size constant integer := case when how_diverse > 0 or by_strategy.exploration > 0 then least(5 * wanted + 20, 1000) else wanted end;
    path constant jsonpath := nearline_data._matching_path(matching);
    languages constant text[] := nearline_data._matching_languages(matching);
    is_filtered constant boolean := path is not null or languages is not null;
    interest constant public.vector := for_person.interest;
    rules constant nearline_data.rule_in_force[] := array(
        select r from nearline_data._rules(for_person.user_id, by_strategy.name, with_drafts, leaving_out, for_person.recent) r
    );
    search text := case when is_filtered then 'thorough' else 'quick' end;
    near nearline_data.near_items;
    pool nearline_data.candidate[];
    listing nearline_data.listing;
    started timestamptz := clock_timestamp();
begin
    if how_diverse < 0 or how_diverse > 1 then
        raise exception 'diversity is %, expected a number from 0 to 1', how_diverse
            using errcode = '22023', hint = '0 takes the best, 0.3 avoids lists of near duplicates.';
    end if;
    if wanted = 0 then
        return null;
    end if;
    if cardinality(rules) > 0 then
        listing := nearline_data._ruled_listing(
            for_person, of_version, wanted, pool_size, item_kinds, path, languages, how_diverse, by_strategy, rules, with_stages
        );
        pool := listing.pool;
        started := clock_timestamp();
    else
        for attempt in 1 .. 2 loop
            if interest is not null then
                near := nearline_data._near(interest, of_version, item_kinds, path, languages, for_person.seen, null, pool_size, search);
                if with_stages then
                    listing.stages := nearline_data._staged(
                        listing.stages, started, 'nearest', near.how, nearline_data._items_of(of_version), coalesce(cardinality(near.item_ids), 0)
                    );
                    started := clock_timestamp();
                end if;
            end if;
            select array_agg(row(c.*)::nearline_data.candidate) into pool
            from nearline_data._candidates(
                interest, of_version, for_person.recent
              , near.item_ids || nearline_data._asked_for(by_strategy, item_kinds, path, languages, for_person.seen, null, near, pool_size)
              , near.similarities
              , item_kinds, path, languages, for_person.seen, null, by_strategy, for_person.user_id, pool_size
            ) c;
            if with_stages then
                listing.stages := nearline_data._staged(
                    listing.stages, started, 'candidates', 'the nearest, what follows the newest events, what the strategy asks for; the best '
                    || pool_size, coalesce(cardinality(near.item_ids), 0), coalesce(cardinality(pool), 0)
                );
                started := clock_timestamp();
            end if;
            exit when search <> 'quick' or interest is null or cardinality(pool) >= wanted or near.how like 'exact:%';
            search := 'thorough';  -- too many of the nearest are not active, or the index did not reach far enough
        end loop;
        if interest is null and coalesce(cardinality(pool), 0) < wanted then
            -- After what follows or is asked for, where there is some of that.
            pool := pool || array(
                select row(
                           c.item_id, c.kind, c.title, c.interest_part, c.transition_part, c.popular_part, c.fresh_part
                         , least(c.score, (select min(p.score) from unnest(pool) p))
                       )::nearline_data.candidate
                from nearline_data._popular(
                    item_kinds, path, languages, for_person.seen || array(select p.item_id from unnest(pool) p), null
                  , pool_size - coalesce(cardinality(pool), 0)
                ) c
            );
            if with_stages then
                listing.stages := nearline_data._staged(
                    listing.stages, started, 'popular', 'nothing is known of the person or of newcomers', null, coalesce(cardinality(pool), 0)
                );
                started := clock_timestamp();
            end if;
        end if;
        if how_diverse > 0 and pool is not null then
            listing.pool := array(
                select pool[d.place]
                from unnest(nearline_data._diversified(pool, of_version, how_diverse, wanted)) with ordinality as d (place, n)
                order by d.n
            );
        else
            listing.pool := pool[:wanted];
        end if;
        if with_stages then
            listing.stages := nearline_data._staged(
                listing.stages, started, 'choice', case when how_diverse > 0 then 'diversity ' || how_diverse else 'the best' end
              , coalesce(cardinality(pool), 0), coalesce(cardinality(listing.pool), 0)
            );
            started := clock_timestamp();
        end if;
    end if;
    if coalesce(cardinality(listing.pool), 0) < asked then
        listing.shortfall := format(
            '%s of %s: %s'
          , coalesce(cardinality(listing.pool), 0), asked
          , case when cardinality(listing.pool) = wanted then 'a list has at most 1000 items'
                 when of_version is null then 'no model is live, and only what is popular is offered'
                 when interest is null then 'nothing is known of the person or of newcomers, and only what is popular is offered'
                 else format(
                     'no other active item%s that the person has not seen%s'
                   , case when is_filtered then ' matches' when item_kinds is not null then ' of these kinds' else '' end
                   , case when exists (select from unnest(rules) r where r.action = 'cap') and nearline_data._items_of(of_version) > 10000 then
                              ' and that the rules allow, among those near'
                          when exists (select from unnest(rules) r where r.action in ('block', 'cap')) then ' and that the rules allow'
                          else ''
                     end
                 )
            end
        );
    end if;
    if not with_reasons then
        listing.reasons := null;
    elsif cardinality(rules) > 0 then
        listing.reasons := array(
            select case when m.moved ->> 'phrase' is not null and r.reason -> 'because' = '[]' then
                       r.reason || jsonb_build_object('text', m.moved ->> 'phrase')
                   else r.reason end
                   || coalesce(m.moved - 'phrase', '{}')
            from unnest(listing.pool, listing.reasons) with ordinality as m (
                item_id, kind, title, interest_part, transition_part, popular_part, fresh_part, score, moved, place
            )
            left join nearline_data._reasons(listing.pool, of_version, for_person.recent) r on r.item_id = m.item_id
            order by m.place
        );
    else
        listing.reasons := array(
            select r.reason
            from unnest(listing.pool) with ordinality as c (
                item_id, kind, title, interest_part, transition_part, popular_part, fresh_part, score, place
            )
            left join nearline_data._reasons(listing.pool, of_version, for_person.recent) r on r.item_id = c.item_id
            order by c.place
        );
    end if;
    if with_stages and with_reasons then
        listing.stages := nearline_data._staged(
            listing.stages, started, 'reasons', 'the events that speak most for each item', coalesce(cardinality(listing.pool), 0), coalesce(cardinality(listing.pool), 0)
        );
        started := clock_timestamp();
    end if;
    if with_stages and listing.shortfall is not null then
        listing.stages := nearline_data._staged(
            listing.stages, started, 'shortfall', listing.shortfall, wanted, coalesce(cardinality(listing.pool), 0)
        );
    end if;
    return listing;
end
$$;
comment on function nearline_data._listing is 'A list for somebody and how it came about: candidates, their scores, filters, rules, diversity, reasons. Every list that Nearline makes comes from here.';

create or replace function nearline_data._list(
    for_person nearline_data.person, of_version integer, max_items integer, item_kinds text[], matching jsonb
  , diversity double precision, with_reasons boolean, by_strategy nearline_data.strategy
)
returns table (
    list_position integer, item_id text, kind text, title text, score real, reason jsonb, shortfall text
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    listing constant nearline_data.listing := nearline_data._listing(
        for_person, of_version, max_items, item_kinds, matching, diversity, with_reasons, by_strategy
    );
begin
    return query
    select c.place::integer, c.item_id, c.kind, c.title, c.score, c.reason, listing.shortfall
    from unnest(listing.pool, listing.reasons) with ordinality as c (
        item_id, kind, title, interest_part, transition_part, popular_part, fresh_part, score, reason, place
    );
end
$$;
comment on function nearline_data._list is 'A list for somebody as rows.';
