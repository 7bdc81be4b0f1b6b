create or replace function nearline_data._language(recent nearline_data.recent_event[])
returns text
language sql stable parallel safe
begin atomic
    -- Nobody says what a person reads: it is what most of the items that they touched of late are written in.
    select l.language
    from (
        select lower(split_part(i.language, '-', 1) collate "C") as language, sum(r.decay) as decay
        from unnest(recent[:25]) r
        cross join lateral (select n.language from nearline_data.item n where n.item_id = r.item_id offset 0) i
        where r.weight > 0
        group by lower(split_part(i.language, '-', 1) collate "C")
        order by decay desc, language
        limit 1
    ) most
    join nearline_data.reason_language l on l.language = most.language;
end;
comment on function nearline_data._language is 'The language that a person reads, as far as there are sentences in it; null: English.';

create or replace function nearline_data._deed(of_kind text, phrase text, what text, in_language text)
returns text
language sql stable parallel safe
begin atomic
    select coalesce(
        (
            select replace(s.deed, '{}', what)
            from nearline_data.reason_sentence s
            where s.language = in_language and s.kind = of_kind
        )
      , 'you ' || phrase || ' ' || what
    );
end;
comment on function nearline_data._deed is 'What a person did to something, as a statement in their language, else in English.';
