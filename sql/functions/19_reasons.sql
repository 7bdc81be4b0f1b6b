create or replace function nearline_data._reasons(
    for_items nearline_data.candidate[], of_version integer, recent nearline_data.recent_event[]
)
returns table (item_id text, reason jsonb)
language sql stable parallel safe
begin atomic
    -- The events that speak most for an item: it often follows them, or means something similar. An item that no single
    -- event speaks for fits the person's interests as a whole.
    with spoken as materialized (
        select r.event_id, r.item_id, r.kind, r.words, r.phrase, r.decay * r.weight as strength
             , l2_normalize(subvector(coalesce(r.vector, case when r.item_id is not null then (
                   select v.vector from nearline_data.item_embedding v
                   where v.model_version = of_version and v.item_id = r.item_id
               ) else (
                   select q.vector from nearline_data.query_embedding q
                   where q.model_version = of_version and q.query = r.words
               ) end), 1, 120)) as meaning
        from unnest(recent[:25]) r
        where r.weight > 0
    ), reader as materialized (
        select l.language, coalesce(l.fits, 'fits your interests') as fits, coalesce(l.popular, 'popular with others now') as popular
        from (select nearline_data._language(recent) as language) n
        left join nearline_data.reason_language l on l.language = n.language
    )
    select f.item_id, because.reason
    from unnest(for_items) f
    cross join lateral (
        select (
            select l2_normalize(subvector(v.vector, 1, 120))
            from nearline_data.item_embedding v
            where v.model_version = of_version and v.item_id = f.item_id
        ) as meaning
        offset 0
    ) o
    cross join lateral (
        select case when count(*) = 0 then
                   jsonb_build_object(
                       'text', (select case when cardinality(recent) > 0 then p.fits else p.popular end from reader p)
                     , 'because', '[]'::jsonb
                   )
               else
                   jsonb_build_object(
                       'text', (array_agg(b.sentence order by b.share desc, b.event_id))[1]
                     , 'because', jsonb_agg(jsonb_build_object(
                           'event_id', b.event_id, 'kind', b.kind, 'item_id', b.item_id, 'text', b.words
                         , 'share', round(b.share::numeric, 3)
                       ) order by b.share desc, b.event_id)
                   )
               end as reason
        from (
            select e.event_id, e.kind, e.item_id, e.words
                 , coalesce(
                       (
                           select replace(s.because, '{}', d.what)
                           from nearline_data.reason_sentence s
                           where s.language = (select p.language from reader p) and s.kind = e.kind
                       )
                     , 'because you ' || e.phrase || ' ' || d.what
                   ) as sentence
                 , e.strength / sum(e.strength) over () as share
            from (
                select c.event_id, c.kind, c.item_id, c.words, c.phrase
                     , c.strength * (coalesce(c.follows, 0) + 0.1 * c.likeness) as strength
                from (
                    select s.event_id, s.kind, s.item_id, s.words, s.phrase, s.strength
                         , coalesce(- (s.meaning <#> o.meaning), 0) as likeness
                         , case when f.transition_part > 0 then (
                               select t.weight
                               from nearline_data.item_transition t
                               where t.model_version = of_version and t.item_id = s.item_id and t.next_item_id = f.item_id
                           ) end as follows
                    from spoken s
                ) c
                where c.likeness > 0 and (c.follows is not null or c.likeness > 0.3)
                order by strength desc, c.event_id
                limit 3
            ) e
            left join nearline_data.item i on i.item_id = e.item_id
            cross join lateral (select coalesce(i.title, '“' || e.words || '”') as what offset 0) d
        ) b
    ) because;
end;
comment on function nearline_data._reasons is 'Why items are in a list: the events that speak most for each, with their shares.';
