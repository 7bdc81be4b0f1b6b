create or replace function nearline.try_rules(
    rules text[]
  , for_users text[] default null
  , max_items integer default 10
  , item_kinds text[] default null
  , matching jsonb default null
  , strategy text default null
)
returns table (
    user_id text, item_id text, kind text, title text, position_before integer, position_after integer, concerned_by text[]
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    version constant integer := nearline_data._version(null);
    missing text;
    people text[] := for_users;
    person nearline_data.person;
    used nearline_data.strategy;
    one text;
    sample constant text := 'A sample shows as much: for_users may be null, which takes 20 people.';
begin
    perform nearline_data._left_out(null, item_kinds, null);
    perform nearline_data._check_list('rules', rules, 200, sample);
    perform nearline_data._check_list('for_users', for_users, 1000, sample);
    if coalesce(cardinality(rules), 0) = 0 then
        raise exception 'rules is %, expected the names of some rules', coalesce(rules::text, 'null')
            using errcode = '22023', hint = 'select name from nearline_data.rule; a draft is a rule with is_draft.';
    end if;
    select n.name into missing
    from unnest(rules) as n (name)
    where n.name is null or not exists (select from nearline_data.rule r where r.name = n.name)
    limit 1;
    if found then
        raise exception 'rules has %, expected names of nearline_data.rule', coalesce(quote_literal(left(missing, 200)), 'null')
            using errcode = '22023', hint = 'select name from nearline_data.rule; insert the rule with is_draft first.';
    end if;
    if people is null then
        people := array(
            select u.user_id
            from nearline_data.user_interest u
            where u.model_version = version
              and exists (
                  select from nearline_data.rule r
                  where r.name = any (rules)
                    and (
                        r.for_audience is null
                        or exists (
                            select from nearline_data.audience_member m where m.user_id = u.user_id and m.audience = r.for_audience
                        )
                    )
              )
            order by hashtextextended(u.user_id, 0), u.user_id
            limit 20
        );
    end if;
    for one in select distinct u.id from unnest(people) as u (id) where u.id is not null order by 1 loop
        person := nearline_data._person(one, version);
        used := nearline_data._strategy(strategy, one);
        return query
        select one, coalesce(a.item_id, b.item_id), coalesce(a.kind, b.kind), coalesce(a.title, b.title)
             , b.place::integer, a.place::integer
             , array(
                   select r.name
                   from nearline_data.rule r
                   join nearline_data.item i on i.item_id = coalesce(a.item_id, b.item_id)
                   where r.name = any (rules)
                     and case when r.item_ids is not null then i.item_id = any (r.item_ids)
                              else r.path is null or nearline_data._is_met(i.attributes, i.kind, i.language, r.path)
                         end
                   order by r.name
               )
        from unnest((
            nearline_data._listing(person, version, max_items, item_kinds, matching, null, false, used, leaving_out => rules)
        ).pool) with ordinality as b (item_id, kind, title, interest_part, transition_part, popular_part, fresh_part, score, place)
        full join unnest((
            nearline_data._listing(person, version, max_items, item_kinds, matching, null, false, used, with_drafts => rules)
        ).pool) with ordinality as a (item_id, kind, title, interest_part, transition_part, popular_part, fresh_part, score, place)
            on a.item_id = b.item_id
        where a.place is distinct from b.place
        order by a.place nulls last, b.place;
    end loop;
end
$$;
comment on function nearline.try_rules is
'What rules would change, or do change: for some people the items whose position in the list differs with and without the rules. Nothing is changed. rules: names of nearline_data.rule, drafts or not, at whatever time they are to hold; all others that hold now hold on both sides. for_users: at most 1000 people; null for a fixed sample of 20 who have an interest, of the audience of the rules where they have one. max_items, item_kinds, matching, strategy: as in nearline.recommend.
position_before: without the rules, position_after: with them; null: not in the list. concerned_by: the rules tried that are about the item itself; none: it made room, or took it.
  select * from nearline.try_rules(rules => array[''clear the winter stock'']);
  select item_id, count(*) from nearline.try_rules(array[''recalled'']) where position_after is null group by 1;';
