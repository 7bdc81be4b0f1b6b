create or replace function nearline_data._measure_recall(of_version integer)
returns real
language plpgsql volatile security definer
set search_path = pg_catalog, public, pg_temp
set enable_seqscan = off  -- a small table would be read and sorted without its index, and nothing be measured
set enable_sort = off
set jit = off
as $$
-- Asked with what is asked in service, interests of people; with items where there are few people. Items as near as the
-- tenth of the exact search count as found, as several may be equally near.
declare
    embeddings constant text := 'item_embedding_v' || of_version;
    interests constant text := 'user_interest_v' || of_version;
    recall real;
begin
    execute format('
        with person as materialized (
            select u.vector from nearline_data.%1$I u order by hashtextextended(u.user_id, 0) limit 100
        ), asked as materialized (
            select p.vector from person p
            union all
            (
                select v.vector from nearline_data.%2$I v
                order by hashtextextended(v.item_id, 0)
                limit 100 - (select count(*) from person)
            )
        )
        select avg(i.found::real / e.wanted)
        from asked a
        cross join lateral (
            select min(x.score) as least, count(*) as wanted
            from (
                select - (v.vector <#> a.vector) as score from nearline_data.%2$I v order by 1 desc limit 10
            ) x
        ) e
        cross join lateral (
            select count(*) filter (where n.score >= e.least) as found
            from (
                select - (v.vector <#> a.vector) as score from nearline_data.%2$I v order by v.vector <#> a.vector limit 10
            ) n
        ) i', interests, embeddings) into recall;
    update nearline_data.model_version m set index_recall = recall where m.model_version = of_version;
    return recall;
end
$$;
comment on function nearline_data._measure_recall is 'Measures and stores how many of the ten nearest items of an exact search the index of a version finds, of 100 interests or items.';
