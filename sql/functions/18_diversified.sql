create or replace function nearline_data._diversified(
    pool nearline_data.candidate[], of_version integer, how_diverse double precision, at_most integer
  , ruled nearline_data.ruled_item[] default null, caps integer[] default null
)
returns integer[]
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Maximal marginal relevance (Carbonell and Goldstein 1998): one after the other, the item with the largest
-- (1 - d) * relevance - d * (largest cosine to one that was taken); relevance is the score, 1 for the best of the pool
-- and 0 for the last. caps: how many items of each group of ruled may be taken; what has no room left is passed over.
declare
    meanings public.vector[];
    relevance double precision[];
    closest double precision[] := array_fill(0::double precision, array[cardinality(pool)]);
    is_taken boolean[] := array_fill(false, array[cardinality(pool)]);
    taken integer[] := '{}';
    best integer;
    best_value double precision;
    value double precision;
begin
    select array_agg(p.meaning order by p.place)
         , array_agg(coalesce((p.score - min_score) / nullif(max_score - min_score, 0), 1) order by p.place)
    into meanings, relevance
    from (
        select c.score, c.place, min(c.score) over () as min_score, max(c.score) over () as max_score
             , (select public.l2_normalize(public.subvector(v.vector, 1, 120)) from nearline_data.item_embedding v
                where v.model_version = of_version and v.item_id = c.item_id) as meaning
        from unnest(pool) with ordinality as c (item_id, kind, title, interest_part, transition_part, popular_part, fresh_part, score, place)
    ) p;
    while cardinality(taken) < least(at_most, cardinality(pool)) loop
        best := null;
        for place in 1 .. cardinality(pool) loop
            continue when is_taken[place];
            value := (1 - how_diverse) * relevance[place] - how_diverse * closest[place];
            if best is null or value > best_value then
                best := place;
                best_value := value;
            end if;
        end loop;
        exit when best is null;
        is_taken[best] := true;
        if caps is not null then
            continue when nearline_data._is_full(caps, (ruled[best]).capped_by);
            caps := nearline_data._counted(caps, (ruled[best]).capped_by);
        end if;
        taken := taken || best;
        continue when meanings[best] is null;
        for place in 1 .. cardinality(pool) loop
            continue when is_taken[place] or meanings[place] is null;
            closest[place] := greatest(closest[place], - (meanings[place] operator(public.<#>) meanings[best]));
        end loop;
    end loop;
    return taken;
end
$$;
comment on function nearline_data._diversified is 'A list of which no two items are too alike: maximal marginal relevance over a pool of candidates. The places of those taken, best first.';
