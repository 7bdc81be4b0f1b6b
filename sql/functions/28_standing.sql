create or replace function nearline_data._without(recent nearline_data.recent_event[], which_event text)
returns nearline_data.recent_event[]
language sql immutable parallel safe
begin atomic
    -- What was done before it moves up one place among events of the same sort.
    with event as materialized (
        select e.*, row_number() over (partition by e.item_id is null order by e.place) as nth
        from unnest(recent) with ordinality as e (
            event_id, item_id, kind, words, phrase, weight, decay, is_unseen, recorded_at, vector, place
        )
    )
    select coalesce(array_agg(
               row(
                   k.event_id, k.item_id, k.kind, k.words, k.phrase, k.weight
                 , (select e.decay from event e where (e.item_id is null) = (k.item_id is null) and e.nth = k.nth)
                 , k.is_unseen, k.recorded_at, k.vector
               )::nearline_data.recent_event
               order by k.place
           ), '{}')
    from (
        select e.event_id, e.item_id, e.kind, e.words, e.phrase, e.weight, e.is_unseen, e.recorded_at, e.vector, e.place
             , row_number() over (partition by e.item_id is null order by e.place) as nth
        from event e
        where e.event_id <> which_event
    ) k;
end;
comment on function nearline_data._without is 'A person''s newest events as if one of them had not happened.';

create or replace function nearline_data._standing(
    of_item text, with_interest vector, of_version integer, recent nearline_data.recent_event[], seen text[]
  , by_strategy nearline_data.strategy, for_user text, is_small boolean
  , out score real, out interest_part real, out transition_part real, out place integer
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Scores are those of _candidates, and so is the order. In a small catalogue all items are compared: what follows the newest
-- events goes through it, and the rest, which has no transition part, is counted in one scan. In a large one it is the nearest
-- thousand, as for the longest list: what is not among them is below the last.
declare
    others constant real := by_strategy.popular_weight + by_strategy.fresh_weight;
    is_plain constant boolean := others = 0 and by_strategy.exploration = 0;
    near_items text[] := array[of_item];
    near_scores real[] := array[null::real];
    reach real := '-Infinity';
    compared text[];
    lowest real;
    most_popular constant real := (select max(m.score) from nearline_data.item_popularity m);
    -- A field of a row is found anew for each item.
    interest_weight constant real := by_strategy.interest_weight;
    popular_weight constant real := by_strategy.popular_weight;
    fresh_weight constant real := by_strategy.fresh_weight;
    fresh_days constant real := by_strategy.fresh_days;
    exploration constant real := by_strategy.exploration;
begin
    if not is_small and with_interest is not null then
        select array_agg(n.item_id), array_agg(n.similarity), min(n.similarity) * by_strategy.interest_weight + others
        into near_items, near_scores, reach
        from nearline_data._nearest(with_interest, of_version, null, seen, 1000) n;
        if of_item <> all (near_items) then
            near_items := near_items || of_item;
            near_scores := near_scores || null::real;
        end if;
    elsif is_plain and with_interest is null then
        near_items := null;
        near_scores := null;
    elsif not is_small then
        reach := 'Infinity';
    end if;
    select min(c.score) filter (where c.item_id = of_item), min(c.interest_part) filter (where c.item_id = of_item)
         , min(c.transition_part) filter (where c.item_id = of_item), min(c.nth) filter (where c.item_id = of_item and c.score >= reach)
         , array_agg(c.item_id), min(c.score)
    into score, interest_part, transition_part, place, compared, lowest
    from (
        select l.item_id, l.score, l.interest_part, l.transition_part, row_number() over () as nth
        from nearline_data._candidates(
            to_interest => with_interest, of_version => of_version, recent => recent
          , near_items => near_items, near_scores => near_scores, item_kinds => null, path => null, languages => null
          , seen => seen, blocked => null, by_strategy => by_strategy, for_user => for_user
          , at_most => coalesce(cardinality(near_items), 0) + 2500  -- 25 events have 100 successors each at most
        ) l
    ) c;
    if is_small and is_plain and with_interest is not null then
        select place + count(*) into place
        from (
            select v.item_id, (- (v.vector operator(public.<#>) with_interest))::real * by_strategy.interest_weight as interest_part
            from nearline_data.item_embedding v
            where v.model_version = of_version
        ) n
        join nearline_data.item i on i.item_id = n.item_id and i.is_active
        where (n.interest_part > _standing.score or (n.interest_part = _standing.score and n.item_id < of_item))
          and n.item_id not in (select x.item_id from unnest(seen || compared) as x (item_id));
    elsif is_small and not is_plain then
        select place + count(*) into place
        from (
            select i.item_id
                 , (
                       coalesce((- (v.vector operator(public.<#>) with_interest))::real * interest_weight, 0)
                       + coalesce(popular_weight * p.score / most_popular, 0)
                       + case when fresh_weight > 0 then nearline_data._fresh_part(i.created_at, fresh_weight, fresh_days) else 0 end
                       + nearline_data._chance(i.item_id, for_user, exploration)
                   )::real as score
            from nearline_data.item i
            left join nearline_data.item_embedding v on v.model_version = of_version and v.item_id = i.item_id
            left join nearline_data.item_popularity p on p.item_id = i.item_id
            where i.is_active
        ) n
        where (n.score > _standing.score or (n.score = _standing.score and n.item_id < of_item))
          and n.item_id not in (select x.item_id from unnest(seen || compared) as x (item_id));
    elsif compared is null or (is_plain and with_interest is null and place is null) then
        -- Of whom nothing is known gets what is popular, after what follows their newest events.
        select least(p.score, lowest), coalesce(cardinality(compared), 0) + p.nth into score, place
        from (
            select l.item_id, l.score, row_number() over () as nth
            from nearline_data._popular(
                item_kinds => null, path => null, languages => null, seen => seen || compared, blocked => null, at_most => 1000
            ) l
        ) p
        where p.item_id = of_item;
    end if;
end
$$;
comment on function nearline_data._standing is 'Score and place of an item in a list of the whole catalogue. Place null: below the nearest thousand of a catalogue that is not small, or in no such list.';
