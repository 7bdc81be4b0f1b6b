-- Reasons in the language that a person reads.
set local role nearline_owner;

create table nearline_data.reason_language (
    language text primary key check (language ~ '^[a-z]{2,3}$')
  , fits text not null check (fits <> '')
  , popular text not null check (popular <> '')
);
comment on table nearline_data.reason_language is 'Languages that reasons are written in, beside English. Add a row and its sentences to add one; no code changes.';
comment on column nearline_data.reason_language.language is 'The first part of a language tag: de is also for de-AT.';
comment on column nearline_data.reason_language.fits is 'The reason of an item that no single event speaks for.';
comment on column nearline_data.reason_language.popular is 'The reason of an item for somebody of whom nothing is known.';

create table nearline_data.reason_sentence (
    language text not null references nearline_data.reason_language (language) on delete cascade
  , kind text not null references nearline_data.event_kind (kind) on delete cascade
  , because text not null check (strpos(because, '{}') > 0)
  , deed text not null check (strpos(deed, '{}') > 0)
  , primary key (language, kind)
);
comment on table nearline_data.reason_sentence is 'What a person did, said in a language. A kind without a row is said in English, by nearline_data.event_kind.phrase.';
comment on column nearline_data.reason_sentence.language is 'A row of reason_language.';
comment on column nearline_data.reason_sentence.kind is 'What was done.';
comment on column nearline_data.reason_sentence.because is 'As a reason: "because you viewed {}", with the title, or the words that were typed, for {}.';
comment on column nearline_data.reason_sentence.deed is 'As a statement: "you viewed {}".';

insert into nearline_data.reason_language (language, fits, popular) values
    ('de', 'passt zu Ihren Interessen', 'gerade bei anderen beliebt')
  , ('fr', 'correspond à vos centres d’intérêt', 'populaire auprès des autres en ce moment')
  , ('es', 'encaja con sus intereses', 'popular entre los demás ahora')
  , ('zh', '符合您的兴趣', '近期受他人欢迎');

insert into nearline_data.reason_sentence (language, kind, because, deed)
select w.language, w.kind, w.because, w.deed
from (values
    ('de', 'view', 'weil Sie {} angesehen haben', 'Sie haben {} angesehen')
  , ('de', 'click', 'weil Sie {} angeklickt haben', 'Sie haben {} angeklickt')
  , ('de', 'search', 'weil Sie nach {} gesucht haben', 'Sie haben nach {} gesucht')
  , ('de', 'play', 'weil Sie {} abgespielt haben', 'Sie haben {} abgespielt')
  , ('de', 'rate', 'weil Sie {} bewertet haben', 'Sie haben {} bewertet')
  , ('de', 'comment', 'weil Sie {} kommentiert haben', 'Sie haben {} kommentiert')
  , ('de', 'share', 'weil Sie {} geteilt haben', 'Sie haben {} geteilt')
  , ('de', 'favourite', 'weil Sie {} gespeichert haben', 'Sie haben {} gespeichert')
  , ('de', 'wishlist', 'weil Sie {} auf die Wunschliste gesetzt haben', 'Sie haben {} auf die Wunschliste gesetzt')
  , ('de', 'cart', 'weil Sie {} in den Warenkorb gelegt haben', 'Sie haben {} in den Warenkorb gelegt')
  , ('de', 'purchase', 'weil Sie {} gekauft haben', 'Sie haben {} gekauft')
  , ('de', 'return', 'weil Sie {} zurückgegeben haben', 'Sie haben {} zurückgegeben')
  , ('de', 'hide', 'weil Sie {} ausgeblendet haben', 'Sie haben {} ausgeblendet')
  , ('de', 'like', 'weil Ihnen {} gefällt', 'Ihnen gefällt {}')
  , ('de', 'dislike', 'weil Ihnen {} nicht gefällt', 'Ihnen gefällt {} nicht')
  , ('fr', 'view', 'parce que vous avez vu {}', 'vous avez vu {}')
  , ('fr', 'click', 'parce que vous avez cliqué sur {}', 'vous avez cliqué sur {}')
  , ('fr', 'search', 'parce que vous avez cherché {}', 'vous avez cherché {}')
  , ('fr', 'play', 'parce que vous avez lancé {}', 'vous avez lancé {}')
  , ('fr', 'rate', 'parce que vous avez noté {}', 'vous avez noté {}')
  , ('fr', 'comment', 'parce que vous avez commenté {}', 'vous avez commenté {}')
  , ('fr', 'share', 'parce que vous avez partagé {}', 'vous avez partagé {}')
  , ('fr', 'like', 'parce que vous avez aimé {}', 'vous avez aimé {}')
  , ('fr', 'favourite', 'parce que vous avez enregistré {}', 'vous avez enregistré {}')
  , ('fr', 'wishlist', 'parce que vous avez mis {} dans votre liste d’envies', 'vous avez mis {} dans votre liste d’envies')
  , ('fr', 'cart', 'parce que vous avez mis {} dans le panier', 'vous avez mis {} dans le panier')
  , ('fr', 'purchase', 'parce que vous avez acheté {}', 'vous avez acheté {}')
  , ('fr', 'return', 'parce que vous avez renvoyé {}', 'vous avez renvoyé {}')
  , ('fr', 'hide', 'parce que vous avez masqué {}', 'vous avez masqué {}')
  , ('fr', 'dislike', 'parce que vous n’avez pas aimé {}', 'vous n’avez pas aimé {}')
  , ('es', 'view', 'porque ha visto {}', 'ha visto {}')
  , ('es', 'click', 'porque ha hecho clic en {}', 'ha hecho clic en {}')
  , ('es', 'search', 'porque ha buscado {}', 'ha buscado {}')
  , ('es', 'play', 'porque ha reproducido {}', 'ha reproducido {}')
  , ('es', 'rate', 'porque ha valorado {}', 'ha valorado {}')
  , ('es', 'comment', 'porque ha comentado {}', 'ha comentado {}')
  , ('es', 'share', 'porque ha compartido {}', 'ha compartido {}')
  , ('es', 'like', 'porque le gusta {}', 'le gusta {}')
  , ('es', 'favourite', 'porque ha guardado {}', 'ha guardado {}')
  , ('es', 'wishlist', 'porque ha puesto {} en su lista de deseos', 'ha puesto {} en su lista de deseos')
  , ('es', 'cart', 'porque ha puesto {} en la cesta', 'ha puesto {} en la cesta')
  , ('es', 'purchase', 'porque ha comprado {}', 'ha comprado {}')
  , ('es', 'return', 'porque ha devuelto {}', 'ha devuelto {}')
  , ('es', 'dislike', 'porque no le gusta {}', 'no le gusta {}')
  , ('es', 'hide', 'porque ha ocultado {}', 'ha ocultado {}')
  , ('zh', 'view', '因为您浏览过 {}', '您浏览过 {}')
  , ('zh', 'click', '因为您点击过 {}', '您点击过 {}')
  , ('zh', 'search', '因为您搜索过 {}', '您搜索过 {}')
  , ('zh', 'play', '因为您播放过 {}', '您播放过 {}')
  , ('zh', 'rate', '因为您评价过 {}', '您评价过 {}')
  , ('zh', 'comment', '因为您评论过 {}', '您评论过 {}')
  , ('zh', 'share', '因为您分享过 {}', '您分享过 {}')
  , ('zh', 'like', '因为您喜欢 {}', '您喜欢 {}')
  , ('zh', 'favourite', '因为您收藏了 {}', '您收藏了 {}')
  , ('zh', 'wishlist', '因为您把 {} 加入了心愿单', '您把 {} 加入了心愿单')
  , ('zh', 'cart', '因为您把 {} 加入了购物车', '您把 {} 加入了购物车')
  , ('zh', 'purchase', '因为您购买过 {}', '您购买过 {}')
  , ('zh', 'return', '因为您退回了 {}', '您退回了 {}')
  , ('zh', 'dislike', '因为您不喜欢 {}', '您不喜欢 {}')
  , ('zh', 'hide', '因为您隐藏了 {}', '您隐藏了 {}')
) as w (language, kind, because, deed)
join nearline_data.event_kind k on k.kind = w.kind;  -- a team may have taken one away

comment on column nearline_data.event_kind.phrase is 'How a reason reads in English: "because you " || phrase || " " || title; other languages have nearline_data.reason_sentence.';
comment on column nearline_data.recent_event.vector is 'Of its item, or of its words, where the stored interest does not know the event; else, and where there is none yet, null.';
