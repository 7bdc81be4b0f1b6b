"""Vocabulary of the built-in world: what its pages, products and people talk about. Plain data, in English.

Skills follow "how to", gear follows "a", supplies stand without an article, scenes follow "about", queries are what
people type.
"""

from __future__ import annotations

# A list of phrases reads best on one line.
# ruff: noqa: E501
from typing import NamedTuple


class Subtopic(NamedTuple):
    """Words of one narrow field; each entry is one phrase."""

    skills: tuple[str, ...]
    gear: tuple[str, ...]
    supplies: tuple[str, ...]
    scenes: tuple[str, ...]
    queries: tuple[str, ...]


def _words(skills: str, gear: str, supplies: str, scenes: str, queries: str) -> Subtopic:
    return Subtopic(*(tuple(part.split("; ")) for part in (skills, gear, supplies, scenes, queries)))


THEMES: dict[str, dict[str, Subtopic]] = {
    "home espresso": {
        "espresso grinding": _words(
            "dial in a new bag of beans; stop a shot from running too fast; weigh the dose and the yield; fix channelling in the puck",
            "stepless burr grinder; bottomless portafilter; precision coffee scale; calibrated tamper",
            "medium-roast espresso beans; single-origin Ethiopian beans; decaf espresso beans",
            "sour shots and bitter shots; grind size and extraction; the first coffee of the morning",
            "grinder that does fine espresso; portafilter to see channelling; my espresso tastes sour",
        ),
        "milk steaming": _words(
            "steam milk without big bubbles; pour a first rosetta; texture oat milk; time the steam wand",
            "pointed milk jug; milk thermometer; four-hole steam tip; latte art pen",
            "barista oat milk; whole milk from Jersey cows; cocoa dusting powder",
            "silky microfoam; flat whites at home; hearts, tulips and swans",
            "jug for latte art; foam like in a cafe; best plant milk to steam",
        ),
        "espresso machine care": _words(
            "backflush the group head; descale a boiler safely; replace a worn group gasket; cure a leaking steam valve",
            "blind filter basket; group head brush; silicone group gasket; water hardness tester",
            "descaling powder; backflush detergent tablets; food-safe valve grease",
            "limescale and hard water; a machine that lasts twenty years; pressure that drops",
            "machine leaks around the handle; how often to descale; clean coffee oil from machine",
        ),
    },
    "trail running": {
        "hill training": _words(
            "pace a long climb; run hill repeats without injury; power-hike steep switchbacks; descend on loose rock",
            "lightweight running vest; pair of carbon trail poles; grippy trail shoe; altimeter watch",
            "energy gels; electrolyte tablets; calf compression sleeves",
            "steep climbs and tired legs; your first vertical kilometre; strong calves and quads",
            "get faster uphill; poles for steep runs; knees hurt running downhill",
        ),
        "muddy winter runs": _words(
            "stay upright in deep mud; layer for sleet and wind; run safely after dark; dry wet shoes overnight",
            "waterproof running jacket; deep-lug fell shoe; running headlamp; merino base layer",
            "waterproof trail socks; anti-chafe balm; reflective ankle bands",
            "frozen bogs and short days; night runs in the forest; keeping warm when it rains",
            "shoes that grip in mud; head torch for running; jacket for running in rain",
        ),
        "mountain ultras": _words(
            "plan aid stations for a hundred kilometres; eat while running all day; handle the second night; taper before a race",
            "ten-litre race pack; emergency bivvy bag; soft flask with filter; satellite tracker",
            "savoury race bars; blister plasters; salted rice balls",
            "sunrise after a night on the ridge; a first fifty-miler; blisters, sleep and stubbornness",
            "training plan 100k; what to eat in an ultra; pack for mandatory kit",
        ),
    },
    "sourdough baking": {
        "starter care": _words(
            "start a culture from flour and water; revive a neglected starter; read the signs of a ripe levain; keep a starter in the fridge",
            "straight-sided starter jar; dough thermometer; folding proofing box; flour sifter",
            "organic wholegrain rye flour; dried heritage starter; jar labels and bands",
            "bubbles, smell and patience; a kitchen that is too cold; wild yeast",
            "starter not rising; jar for feeding starter; keep dough warm in winter",
        ),
        "open-crumb loaves": _words(
            "shape a wet dough; score a clean ear; bake with steam in a home oven; judge the end of bulk fermentation",
            "cast-iron bread oven; oval banneton; scoring lame; bench scraper",
            "strong white bread flour; rice flour for dusting; parchment sling sheets",
            "a crackling crust; high hydration; big holes and thin walls",
            "dough too sticky to shape; pot to bake bread in; get an ear on my loaf",
        ),
        "rye bread": _words(
            "bake a dense Danish rye; soak seeds overnight; handle dough without gluten strength; slice rye at the right age",
            "lidded Pullman tin; dough whisk; serrated bread knife; grain mill",
            "cracked rye grains; dark malt syrup; sunflower and flax seeds",
            "dark loaves from the north; bread that keeps for a week; open sandwiches",
            "tin for rugbrod; seeds for dark bread; mill my own flour",
        ),
    },
    "film photography": {
        "darkroom printing": _words(
            "make a first contact sheet; dodge and burn a print; mix developer at home; split-grade a difficult negative",
            "35 mm enlarger; red safelight; print washing tray; grain focuser",
            "multigrade printing paper; paper developer; rapid fixer",
            "an image that appears in the tray; contrast filters; a bathroom turned darkroom",
            "light safe for photo paper; set up darkroom in bathroom; print black and white at home",
        ),
        "street photography": _words(
            "focus by zone in a crowd; approach strangers with a camera; meter by the sunny sixteen rule; wait for the decisive moment",
            "compact rangefinder camera; 35 mm lens; wrist strap; clip-on light meter",
            "black-and-white 400 film; colour negative film; film canister labels",
            "rainy corners and neon; candid moments; one camera, one lens, one year",
            "small camera for streets; film for cloudy city days; take pictures without being noticed",
        ),
        "large-format landscapes": _words(
            "tilt the lens for depth; load sheet film in the dark; compose upside down; expose for the shadows",
            "wooden field camera; carbon tripod; dark cloth; spot meter",
            "4x5 slide film; graduated filters; archival negative sleeves",
            "mist over the moor; slow mornings with a tripod; mountains on a sheet of film",
            "field camera for beginners; tripod for heavy camera; sheet film holders",
        ),
    },
    "indoor plants": {
        "orchid care": _words(
            "bring a moth orchid back into bloom; repot in fresh bark; water without rotting the roots; read the roots through the pot",
            "clear orchid pot; misting bottle; humidity tray; bamboo flower stake",
            "orchid bark mix; orchid feed; sphagnum moss",
            "aerial roots; flowers that last for months; a north-facing window sill",
            "orchid lost its flowers; pot with holes for orchids; what soil for orchids",
        ),
        "succulent growing": _words(
            "propagate from a single leaf; save an overwatered cactus; plant a dry-garden bowl; give enough winter light",
            "terracotta bowl; full-spectrum grow light; long-spout watering can; cactus tongs",
            "gritty cactus compost; pumice gravel; echeveria cuttings",
            "desert plants on a desk; stretched stems; watering almost never",
            "lamp for plants in dark flat; cactus going soft; soil that drains fast",
        ),
        "leafy foliage": _words(
            "train a monstera up a pole; rid leaves of spider mites; root pothos in water; choose plants for a dark hallway",
            "coir moss pole; hanging planter; self-watering pot; moisture meter",
            "liquid seaweed feed; predatory mite sachets; chunky aroid mix",
            "split leaves and jungle corners; yellowing leaves; plants safe for cats",
            "support for climbing plant; bugs on my houseplants; plants that survive low light",
        ),
    },
    "bicycle travel": {
        "bikepacking": _words(
            "pack a bike without a rack; plan a gravel route with water; camp with only what fits; fix a torn tyre far from help",
            "frame bag; seat pack; ultralight one-person tent; handlebar cradle",
            "tubeless sealant; dehydrated camp meals; tyre plugs",
            "dirt roads and quiet camps; three days on gravel; a bike under ten kilos of luggage",
            "bags for bike without rack; tent small enough for bicycle; repair tubeless tyre",
        ),
        "wheel building": _words(
            "lace a wheel in three crosses; true a buckled rim; measure spoke length; balance spoke tension",
            "truing stand; spoke tension meter; dynamo hub; spoke key",
            "butted spokes; brass nipples; tubeless rim tape",
            "round, true and tight; a wheel that outlives the bike; the sound of even tension",
            "wheel wobbles; stand for truing wheels; how long should spokes be",
        ),
        "city commuting": _words(
            "ride to work in every weather; lock a bike so that it stays; carry a laptop by bike; convert a bike to electric",
            "folding lock; waterproof pannier; commuter helmet; mudguard set",
            "dynamo lights; chain wax; puncture-proof tyres",
            "rush hour on two wheels; rain, trams and kerbs; arriving dry",
            "bike lock hard to cut; bag for laptop on bicycle; stay dry cycling to office",
        ),
    },
    "birdwatching": {
        "garden birds": _words(
            "attract finches to a small garden; site a nest box; keep squirrels off the feeder; learn ten songs in spring",
            "window bird feeder; cedar nest box; hedgehog-safe bird bath; trail camera",
            "sunflower hearts; suet balls; nyjer seed",
            "robins, tits and wrens; a feeder in winter; the dawn chorus",
            "feeder squirrels can not reach; food for robins; camera for nest box",
        ),
        "shorebird watching": _words(
            "tell sandpipers apart; read the tide before a visit; age a gull; use a scope in wind",
            "angled spotting scope; waterproof binocular; tripod seat; digiscoping adapter",
            "wader field guides; tide tables; lens cleaning cloths",
            "estuaries at high tide; grey birds in grey light; autumn passage",
            "telescope for birds on the coast; binoculars in salt spray; which small wader is this",
        ),
        "owl nights": _words(
            "find a roost by its pellets; listen for tawny owls; watch without disturbing; record calls at night",
            "parabolic microphone; red-light torch; barn owl box; night vision monocular",
            "pellet dissection kits; hand warmers; waterproof notebooks",
            "silent wings; a barn at dusk; eyes in the hedgerow",
            "hear owls near me; box for barn owl; record bird calls in the dark",
        ),
    },
    "watercolour painting": {
        "loose florals": _words(
            "paint a peony wet-in-wet; leave the white of the paper; mix clean pinks; let colours bleed on purpose",
            "round sable brush; porcelain palette; mop brush; tabletop easel",
            "cold-pressed cotton paper; rose madder paint; masking fluid",
            "petals in five strokes; happy accidents; flowers from the market",
            "brush for loose flowers; paper that does not buckle; mix pink without mud",
        ),
        "urban sketching": _words(
            "draw a street in two-point perspective; sketch people in a cafe; tint ink lines fast; keep a travel sketchbook",
            "pocket paint box; waterproof fountain pen; folding stool; water brush",
            "sketchbook paper; carbon black ink; travel paint pans",
            "balconies and bicycles; drawing on a train; ten-minute sketches",
            "small paint set for travel; ink that does not run; draw buildings freehand",
        ),
        "sea and sky": _words(
            "lay a smooth graded wash; paint breaking waves; lift out clouds; suggest rain on the horizon",
            "wide hake brush; stretching board; natural sponge; spray bottle",
            "cobalt blue paint; granulating paints; gummed paper tape",
            "storm light over water; soft edges; the coast in winter",
            "flat brush for skies; blue paint for sea; stop streaks in washes",
        ),
    },
    "acoustic guitar": {
        "fingerpicking": _words(
            "play a steady alternating bass; learn Travis picking slowly; grow a clean tone; read guitar tablature",
            "parlour guitar; thumb pick set; clip-on metronome; footstool",
            "silk-and-steel strings; nail-hardening oil; tablature notebooks",
            "ragtime, blues and lullabies; independent thumbs; quiet evenings",
            "guitar with small body; fingerstyle for beginners; keep rhythm with thumb",
        ),
        "songwriting": _words(
            "write a chorus that stays; find chords for a melody; finish the second verse; record a demo at the kitchen table",
            "portable recorder; studio microphone; capo; songwriter's chord wheel",
            "lyric journals; rhyme cards; pop shields",
            "three chords and the truth; a melody on the bus; words before music",
            "record songs at home cheap; lyrics stuck second verse; mic for voice and guitar",
        ),
        "guitar setup": _words(
            "lower the action safely; polish worn frets; set the neck relief; cure a buzzing string",
            "string action ruler; fret levelling file; truss rod wrench; neck rest",
            "fretboard lemon oil; bone saddle blanks; humidity packs",
            "dry winters and cracked tops; a neck that moves; strings that feel right",
            "strings too high on my guitar; stop fret buzz; keep guitar from drying out",
        ),
    },
    "woodworking": {
        "hand-cut joinery": _words(
            "saw dovetails to the line; chop a clean mortise; sharpen a chisel to a mirror; plane a board flat",
            "dovetail saw; set of bench chisels; smoothing plane; marking gauge",
            "hide glue; walnut offcuts; honing compound",
            "joints without screws; shavings on the floor; a drawer that fits like a piston",
            "saw for dovetails; chisel not sharp enough; flatten wood without machine",
        ),
        "spoon carving": _words(
            "carve a spoon from green birch; axe out a blank; hollow a bowl with a hook knife; keep wood from cracking",
            "hook knife; carving axe; sloyd knife; leather strop",
            "green birch blanks; food-safe tung oil; finger guards",
            "wood fresh from the tree; an evening by the fire; crooked branches",
            "knife for carving bowls; what wood for spoons; oil safe for food",
        ),
        "furniture finishing": _words(
            "rub out an oil finish; fix a water ring; choose between shellac and lacquer; strip old paint gently",
            "random orbit sander; card scraper; shellac pad; spray turbine",
            "hardwax oil; shellac flakes; fine sanding discs",
            "grain that glows; grandmother's table; dust-free surfaces",
            "remove white ring on table; finish for oak table; sander without scratches",
        ),
    },
    "kitchen gardening": {
        "tomato growing": _words(
            "sow tomatoes on a window sill; pinch out side shoots; prevent blossom end rot; save seed from heirlooms",
            "heated propagator; spiral tomato stake; walk-in greenhouse; soil thermometer",
            "heirloom tomato seeds; tomato feed; garden twine",
            "vines heavy with fruit; blight after rain; the first ripe tomato",
            "tomato leaves curling; something to hold up tomato plants; start seeds indoors warm",
        ),
        "composting": _words(
            "build a hot heap; feed a worm bin; balance greens and browns; use leaf mould",
            "rotating compost bin; worm farm; compost fork; long compost thermometer",
            "compost activator; tiger worms; wood chip mulch",
            "kitchen scraps into black gold; steam on a cold morning; smells and how to stop them",
            "compost smells bad; bin that turns; worms for kitchen waste",
        ),
        "balcony salads": _words(
            "grow cut-and-come-again lettuce; water while on holiday; plant a rail box; keep slugs off seedlings",
            "railing planter; drip watering kit; mini cold frame; herb snips",
            "mixed salad seeds; peat-free compost; copper slug tape",
            "a harvest on the third floor; herbs by the kitchen door; small spaces",
            "planter for balcony railing; water plants when away; salad in pots",
        ),
    },
    "stargazing": {
        "planet watching": _words(
            "find Saturn without an app; collimate a reflector; sketch the bands of Jupiter; judge the seeing",
            "Dobsonian telescope; planetary eyepiece; Barlow lens; observing chair",
            "colour filters; red torches; star charts",
            "rings in the eyepiece; a steady night; the red spot",
            "telescope to see saturn rings; sharper view of jupiter; eyepiece for planets",
        ),
        "deep-sky astrophotography": _words(
            "polar-align in ten minutes; stack faint exposures; guide a mount; process a nebula naturally",
            "equatorial mount; cooled astronomy camera; guide scope; light pollution filter",
            "dew heater straps; calibration panels; field batteries",
            "the Orion nebula; hours of faint light; galaxies from a suburb",
            "mount for long exposure stars; photograph nebula from city; stop dew on lens",
        ),
        "meteor showers": _words(
            "plan a Perseid night; photograph a meteor; count meteors usefully; find a dark site",
            "reclining garden chair; wide-angle lens; intervalometer; all-sky camera",
            "thermal blankets; flasks of cocoa; planispheres",
            "shooting stars in August; lying in a field; the radiant",
            "see shooting stars tonight; lens for star sky; dark places near town",
        ),
    },
    "knitting": {
        "sock knitting": _words(
            "turn a heel without fear; knit two socks at once; graft a toe; choose yarn that lasts",
            "set of circular sock needles; sock blocker pair; row counter; yarn swift",
            "hand-dyed sock yarn; self-striping yarn; reinforcing thread",
            "warm feet; knitting on the commute; a second sock that gets done",
            "needles for socks; hole at the heel; wool that does not wear out",
        ),
        "colourwork sweaters": _words(
            "carry floats evenly; steek a cardigan; read a Fair Isle chart; pick colours that sing",
            "interchangeable needle set; yarn guide ring; wooden sweater board; chart keeper",
            "Shetland jumper yarn; shade cards; stitch markers",
            "yokes full of birds; island patterns; cutting your knitting",
            "knit with two colours; yarn for fair isle; cut a cardigan open",
        ),
        "natural dyeing": _words(
            "dye wool with onion skins; mordant with alum; keep an indigo vat alive; overdye grey yarn",
            "enamel dye pot; drying rack; digital pocket scale; stirring paddle",
            "dried madder root; undyed merino skeins; alum mordant",
            "colours from the hedgerow; blue hands; a garden of dye plants",
            "colour wool with plants; pot for dyeing yarn; blue dye vat at home",
        ),
    },
    "chess": {
        "opening repertoire": _words(
            "play the Caro-Kann with confidence; meet the London system; build a repertoire in a month; remember lines without cramming",
            "weighted tournament chess set; digital chess clock; roll-up board; electronic chessboard",
            "opening flash cards; score books; opening workbooks",
            "the first ten moves; gambits at the club; plans instead of lines",
            "answer to e4 for black; clock for club games; learn openings fast",
        ),
        "endgame technique": _words(
            "win with king and pawn; hold the Philidor position; build the Lucena bridge; count squares fast",
            "magnetic travel chess set; wooden study board; demonstration board; endgame trainer",
            "endgame puzzle books; study diaries; position cards",
            "rook endings; opposition and zugzwang; half a point saved",
            "rook endgame practice; small board for travel; king and pawn who wins",
        ),
        "attacking play": _words(
            "sacrifice on h7; spot a double attack; open lines against the king; calculate three moves deep",
            "solid walnut chess set; tactics trainer; analysis board; club chess bag",
            "tactics cards; annotated game collections; puzzle pads",
            "kings hunted across the board; brilliant sacrifices; Tal and Morphy",
            "tactics every day; chess set that feels good; see combinations sooner",
        ),
    },
    "open-water swimming": {
        "cold-water dips": _words(
            "enter cold water calmly; warm up after a winter swim; build cold tolerance; know when to get out",
            "hooded changing robe; neoprene glove pair; floating thermometer; insulated mat",
            "neoprene socks; ginger tea; bobble hats",
            "frost on the jetty; the glow afterwards; swimming through winter",
            "robe to change on beach; hands freeze swimming; is 5 degrees too cold",
        ),
        "distance swimming": _words(
            "sight without losing rhythm; train for ten kilometres; feed during a channel swim; breathe to both sides",
            "swim wetsuit; tow float; tinted goggle; GPS swim watch",
            "feeding bottles; anti-fog spray; neck balm",
            "long lake crossings; steady strokes; tides and jellyfish",
            "visible float for swimming; goggles for bright sun; wetsuit chafes neck",
        ),
        "freediving": _words(
            "equalise head first; relax before a breath-hold; train with static tables; dive with a safe buddy",
            "low-volume mask; pair of long fins; weight belt; dive computer",
            "lanyards; mask defogger; buoy line",
            "one breath; silence at twenty metres; kelp and sunlight",
            "ears hurt diving down; fins for freediving; hold breath longer",
        ),
    },
    "fermentation": {
        "kimchi making": _words(
            "salt napa cabbage evenly; mix a gochugaru paste; ferment without an onggi; cook with old kimchi",
            "kimchi container; onggi pot; mandoline; glass fermenting weight",
            "Korean chilli flakes; salted shrimp; coarse sea salt",
            "a winter's worth of cabbage; sour, hot and crunchy; kimjang with friends",
            "box that keeps kimchi smell in; chilli for kimchi; kimchi too salty",
        ),
        "kombucha brewing": _words(
            "grow a scoby from a bottle; carbonate a second ferment; flavour with fruit; rest a culture over summer",
            "brewing jar with tap; swing-top bottle set; pH meter; heating belt",
            "live kombucha scoby; loose black tea; organic cane sugar",
            "fizz without fear; ginger and hibiscus; a mother in the cupboard",
            "bottles that do not explode; scoby looks strange; make kombucha fizzy",
        ),
        "miso and koji": _words(
            "grow koji on rice; pack a crock of miso; season with shio koji; age soy sauce",
            "koji tray; stoneware crock; steamer basket; incubation mat",
            "koji spores; yellow soybeans; pearled barley",
            "white, red and black miso; sweet smells of mould; a year under a stone",
            "spores to make koji; crock for miso; keep rice at 30 degrees",
        ),
    },
    "board games": {
        "cooperative games": _words(
            "win together without one leader; teach a game in five minutes; play with children and adults; set the right difficulty",
            "cooperative island game; storytelling deck; legacy campaign box; card holder",
            "scenario packs; card sleeves; spare dice",
            "saving the world on a Tuesday; all win or all lose; families of five",
            "games we play against the board; game for kids and parents; campaign for two players",
        ),
        "economic strategy": _words(
            "open strongly in an engine builder; bid without overpaying; count an opponent's options; run a game night for eight",
            "railway strategy game; worker placement game; auction card game; wooden box insert",
            "metal game coins; player aids; expansion maps",
            "trains, shares and sheep; long evenings; elegant rules",
            "heavy game for four; storage for game pieces; game about trains and money",
        ),
        "miniature painting": _words(
            "prime without losing detail; highlight a cloak; paint a face; base an army quickly",
            "wet palette; detail brush set; daylight lamp; painting handle",
            "acrylic miniature paints; spray primer; static grass tufts",
            "goblins in bright colours; thin coats; an army in a month",
            "brush for tiny faces; keep paint wet; lamp for painting minis",
        ),
    },
    "home electronics": {
        "soldering": _words(
            "solder a clean joint; rescue a lifted pad; choose a tip; desolder a chip",
            "temperature-controlled soldering station; helping-hand stand; desoldering pump; fume extractor",
            "lead-free solder; flux pens; desoldering braid",
            "shiny joints; cold joints and bridges; a first kit",
            "iron for fine soldering; remove a chip from board; solder does not stick",
        ),
        "sensor projects": _words(
            "build a weather station; read a sensor over radio; run for a year on batteries; log data at home",
            "microcontroller board; temperature sensor module; weatherproof case; bench multimeter",
            "jumper wires; lithium cells; breadboards",
            "rain, wind and light; a garden that reports; tiny computers",
            "board to measure temperature; battery that lasts for sensors; box for outdoor electronics",
        ),
        "shortwave radio": _words(
            "string a wire antenna; receive weather satellites; learn Morse by ear; cure local noise",
            "software-defined radio; straight Morse key; antenna tuner; shortwave receiver",
            "antenna wire; ferrite cores; coaxial adapters",
            "voices from across the ocean; nights on forty metres; storms on the sun",
            "receiver for far away stations; antenna in a flat; learn morse code",
        ),
    },
    "tea": {
        "oolong brewing": _words(
            "brew gongfu style; rinse and wake a rolled oolong; season a clay pot; taste roast and altitude",
            "porcelain gaiwan; Yixing clay teapot; slatted tea tray; fairness pitcher",
            "high-mountain oolong; roasted Tieguanyin; Dancong leaves",
            "seven infusions; orchid and roasted nut; cliffs of Wuyi",
            "small pot for oolong; tea tray that drains; how many times to brew",
        ),
        "matcha": _words(
            "whisk matcha without lumps; choose ceremonial grade; make koicha; keep powder fresh",
            "bamboo whisk; wide tea bowl; fine matcha sieve; whisk stand",
            "ceremonial matcha; culinary matcha; wagashi sweets",
            "green foam; a quiet bowl; shaded leaves from Uji",
            "whisk for green tea powder; matcha too bitter; bowl for matcha",
        ),
        "aged pu-erh": _words(
            "break a cake cleanly; store tea for decades; tell raw from ripe; brew old leaves",
            "pu-erh pick; tea storage jar; hygrometer; breaking tray",
            "ripe pu-erh cakes; raw pu-erh from Yiwu; aged tangerine pu-erh",
            "earth, wood and rain; wrapped cakes; leaves older than you",
            "knife for tea cake; humidity to store tea; earthy dark tea",
        ),
    },
    "train travel": {
        "night trains": _words(
            "choose a couchette or a sleeper; sleep well on rails; cross Europe overnight; travel with children at night",
            "inflatable neck pillow; sleep mask; compact travel kettle; cabin backpack",
            "foam earplugs; sleeper tickets; silk sleeping liners",
            "waking up in another country; the dining car at midnight; blue blinds and starlight",
            "sleep better on a train; pillow for overnight train; berlin to vienna at night",
        ),
        "alpine railways": _words(
            "ride the Bernina line in winter; pick the panoramic side; hike between stations; reserve a glacier train",
            "folding daypack; travel binocular; polarising filter; pair of walking poles",
            "Swiss rail passes; alpine railway maps; picnic boxes",
            "viaducts and glaciers; red trains in snow; slow views",
            "which side to sit for views; swiss pass worth it; train to the glacier",
        ),
        "rail pass planning": _words(
            "plan a month by rail; book seats without fees; make tight connections; pack for six countries",
            "carry-on rail bag; luggage cube set; route notebook; universal plug adapter",
            "rail passes; pocket timetables; luggage labels",
            "thirty days, twelve cities; missed connections; slow travel",
            "interrail route ideas; bag for train trip; reserve seats cheap",
        ),
    },
}
