create or replace function nearline_data._rule_path(item_kinds text[], matching jsonb)
returns jsonpath
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    languages constant text[] := nearline_data._matching_languages(matching);
    attributes constant jsonpath := nearline_data._matching_path(matching);
begin
    -- As _is_spoken: en is also en-GB.
    return nullif(concat_ws(
        ' && '
      , (select '(' || string_agg(format('$kind == %s', to_json(k.kind)), ' || ') || ')' from unnest(item_kinds) as k (kind))
      , (
            select '(' || string_agg(
                       format(
                           '$language like_regex %s flag "i"'
                         , to_json('^' || regexp_replace(left(l.language, -1), $re$[][\\.^$*+?(){}|]$re$, $re$\\\&$re$, 'g') || '(-|$)')
                       )
                     , ' || '
                   ) || ')'
            from unnest(languages) as l (language)
        )
      , '(' || attributes::text || ')'
    ), '')::jsonpath;
end
$$;
comment on function nearline_data._rule_path is 'Kinds and a filter as one JSON path over the attributes of an item, with $kind and $language; null where nothing is asked. nearline_data._is_met asks it of an item.';

create or replace function nearline_data._compile_rule()
returns trigger
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if new.matching is not null then
        perform nearline_data._check_json('matching', new.matching);
    end if;
    new.path := nearline_data._rule_path(new.item_kinds, new.matching);
    new.attributes_path := nearline_data._matching_path(new.matching);
    if not new.is_draft and (
        select count(*) >= 200
        from nearline_data.rule r
        where not r.is_draft and r.name <> new.name and (r.valid_to is null or r.valid_to > now())
    ) then
        raise exception '200 rules hold already, or will; expected no more'
            using errcode = '54000', hint = 'Every list asks all of them: delete some of nearline_data.rule, or let one rule name several items.';
    end if;
    return new;
end
$$;
comment on function nearline_data._compile_rule is 'Compiles what a rule says of its items, and refuses what says nothing or is one rule too many.';

select nearline_data._ensure_trigger(
    'TRIGGER rule_is_compiled BEFORE INSERT OR UPDATE ON nearline_data.rule FOR EACH ROW EXECUTE FUNCTION nearline_data._compile_rule()'
  , 'Refuses a rule that cannot be, and prepares its filter for searches.'
);

-- Languages were compared by their letters' case once: what is written so is compiled again.
update nearline_data.rule r
set matching = r.matching
where r.path::text like '%$"language"%'
  and r.matching -> 'language' is not null
  and jsonb_path_exists(r.matching, 'strict $.language[*] ? (@.type() != "string")', '{}', true) is not true  -- is refused now
  and r.path::text <> nearline_data._rule_path(r.item_kinds, r.matching)::text;

create or replace function nearline_data._rules(
    for_user text, by_strategy text, with_drafts text[], leaving_out text[], recent nearline_data.recent_event[]
)
returns setof nearline_data.rule_in_force
language sql stable parallel safe
begin atomic
    select r.name, r.action, r.item_ids, r.item_kinds, r.path, r.attributes_path, r.at_position, r.strength, r.at_most, r.per, r.phrase
    from nearline_data.rule r
    where (not r.is_draft or r.name = any (with_drafts))
      and r.name <> all (coalesce(leaving_out, '{}'))
      and ((r.valid_from <= now() and (r.valid_to is null or r.valid_to > now())) or r.name = any (with_drafts))
      and (r.for_strategies is null or by_strategy = any (r.for_strategies))
      and (
          r.for_audience is null
          or exists (select from nearline_data.audience_member m where m.user_id = for_user and m.audience = r.for_audience)
      )
    union all
    select s.*
    from nearline_data._stated_rules(for_user, nearline_data._language(recent)) s
    where s.name <> all (coalesce(leaving_out, '{}'));
end;
comment on function nearline_data._rules(text, text, text[], text[], nearline_data.recent_event[]) is
'The rules that hold for a list now; besides them the named drafts, at whatever time they are to hold, and without some. recent: what the person did, for the language that they read.';

create or replace function nearline_data._rules(
    for_user text, by_strategy text, with_drafts text[] default null, leaving_out text[] default null
)
returns setof nearline_data.rule_in_force
language sql stable parallel safe
begin atomic
    select r.* from nearline_data._rules(for_user, by_strategy, with_drafts, leaving_out, null) r;
end;
comment on function nearline_data._rules(text, text, text[], text[]) is 'The same, where no reasons are asked for.';

-- What called it until now is replaced above, so it can go only here: of before reasons were said in other languages.
drop function if exists nearline_data._stated_rules(text);
