"""Names and sentence patterns that the items of the built-in world are written with. Plain data."""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _names(
    "Ana Ben Chloe Dev Ewa Femi Greta Hugo Ines Jonas Kira Leo Mara Nils Olga Pavel Rosa Sami Tess Yuki"
)
LAST_NAMES = _names("Abara Brandt Costa Dunn Egede Fonseca Graham Holt Ito Jansen Kowal Lind Moreau Novak Okoye Reyes")
BRANDS = _names(
    "Harlow Pinefield Tern Northbank Oakhurst Wren Calder Marlow Fenwick Alder Kestrel Juniper Larkspur Stonebridge "
    "Hawthorn Millrace Saltmarsh Ridgeway Foxglove Birchall"
)
CHINESE_NAMES = _names("林岚 陈一舟 苏禾 周野 何青 沈川 许知夏 顾南 叶舒 唐远")
CHINESE_BRANDS = _names("青禾 山野 木作 拾光 云岭 望舒 知白 北岸")
STYLES = _names("compact classic everyday professional starter slim premium original")
SIZES = ("starter pack", "twin pack", "family pack", "refill", "gift box", "trial size", "large pack", "club pack")
COLOURS = _names("black sand forest navy rust slate cream red")

TITLES = {
    "page": ("How to {skill}", "{Skill}: a short guide", "{Skill}, step by step", "What it takes to {skill}"),
    "product": (
        "{brand} {gear}",
        "{brand} {style} {gear}",
        "{brand} {gear} in {colour}",
        "{brand} {style} {gear}, {colour}",
    ),
    "item": ("{brand} {supply}", "{Supply}, {size}", "{brand} {supply}, {size}", "{Supply} by {brand}, {size}"),
    "article": (
        "{Scene}",
        "Notes on {scene}",
        "{person} on {scene}",
        "A year of {name}: {scene}",
        "{Scene}, by {person}",
    ),
    "video": ("Watch {person} {skill}", "{Skill} with {person}", "{Skill} in {minutes} minutes"),
    "course": ("{Name} from scratch with {person}", "{Name} in {lessons} lessons", "{Name} masterclass: {skill}"),
}
DESCRIPTIONS = {
    "page": (
        "A friendly guide to {name}: how to {skill}, when {a_gear} is worth it, and a few words about {scene}.",
        "Everything we wish we had known about {scene}. Learn to {skill} and then to {other_skill}.",
    ),
    "product": (
        "{A_gear} made for {name}. It helps you {skill}, year after year, and comes with a two-year guarantee.",
        "Our testers chose this {gear} to {skill}. For everybody who cares about {scene}.",
    ),
    "item": (
        "{Supply} for {name}, in {size_plain}. Just what you need to {skill}.",
        "A small thing that makes {name} better: {supply}, made with {scene} in mind.",
    ),
    "article": (
        "{person} writes about {scene}, about {other_scene}, and about what {name} has to do with patience.",
        "A long read on {name}. It begins with {scene} and ends with the question of how to {skill}.",
    ),
    "video": (
        "{person} shows how to {skill}, with a close look at {scene}. {minutes} minutes.",
        "See every move in detail: how to {skill} with {a_gear}. {minutes} minutes.",
    ),
    "course": (
        "{Lessons} lessons on {name}. You will learn to {skill}, to {other_skill}, and what to think of {scene}.",
        "{person} takes you from your first {gear} to {scene}. {Lessons} lessons with exercises.",
    ),
}
CHINESE_TITLES = {
    "page": ("如何{skill}", "{skill}：入门指南", "新手也能{skill}", "一步一步{skill}"),
    "product": ("{brand}{gear}", "{brand}经典款{gear}", "{brand}{gear}（升级版）", "{brand}轻便{gear}"),
    "item": ("{brand}{supply}", "{brand}{supply}（家庭装）", "{supply}两件装·{brand}", "{brand}{supply}礼盒"),
    "article": ("聊聊{scene}", "{person}：{scene}", "{name}这一年：{scene}", "{person}谈{name}"),
    "video": ("{person}教你{skill}", "{minutes}分钟学会{skill}"),
    "course": ("{name}{lessons}讲", "零基础学{name}：跟着{person}", "{person}的{name}课"),
}
CHINESE_DESCRIPTIONS = {
    "page": ("写给{name}爱好者的指南：怎样{skill}，什么时候需要{gear}，也聊聊{scene}。",),
    "product": ("为{name}设计的{gear}，帮你轻松{skill}。两年质保。", "我们试用了很久的{gear}，适合喜欢{scene}的人。"),
    "item": ("{name}常用的{supply}，想要{skill}时正好用得上。",),
    "article": ("{person}写{scene}，也写{other_scene}，以及{name}教会我们的耐心。",),
    "video": ("{person}演示怎样{skill}，全程{minutes}分钟，细节清楚。",),
    "course": ("共{lessons}讲，从{gear}的选择开始，学会{skill}和{other_skill}。",),
}
