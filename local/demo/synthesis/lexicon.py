"""The lexicon of the grammar: the entries of each slot. Spoken as written, without digits."""

from __future__ import annotations


def _lines(text: str) -> tuple[str, ...]:
    """One entry a line."""
    return tuple(line.strip() for line in text.strip().splitlines())


def _items(text: str) -> tuple[str, ...]:
    """Entries separated by commas."""
    return tuple(" ".join(item.split()) for item in text.split(","))


LEXICON: dict[str, tuple[str, ...]] = {
    # Names and places
    "place": _items(
        "Ashford, Brantley, Carrow, Danby, Elmstead, Fenwick, Glenmore, Harwich, Kelby, Langford, Marsden, "
        "Norwood, Oakham, Penrose, Redhill, Selby, Thornton, Westport, Lynford, Millbrook"
    ),
    "region": _items(
        "the north, the south, the east, the west, the coast, the hills, the valley, the islands, "
        "the lake district, the capital, the border, the lowlands"
    ),
    "first": _items(
        "Anna, Peter, Maria, David, Helen, Thomas, Laura, Martin, Susan, Robert, Clara, Simon, Julia, Daniel, "
        "Emma, Victor, Nina, Oliver"
    ),
    "last": _items(
        "Marsh, Bennett, Carter, Dawson, Ellis, Foster, Grant, Hughes, Keller, Lawson, Morgan, Palmer, Reed, "
        "Shaw, Turner, Walsh, Young, Novak"
    ),
    "person": _items("{first} {last}, {first} {last}, the {official}, {title} {last}"),
    "title": _items("doctor, professor, minister, captain, judge, councillor"),
    "official": _items(
        "mayor, health minister, transport minister, chief of police, head teacher, hospital director, "
        "fire chief, harbour master, finance minister, museum director, union leader, city architect"
    ),
    "weekday": _items("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
    "month": _items("January, February, March, April, May, June, September, October, November, December"),
    "daypart": _items("this morning, this afternoon, this evening, last night, early today, late on {weekday}"),
    "when": _items(
        "today, tomorrow, next week, next month, on {weekday}, by the end of {month}, in the spring, this winter, "
        "on the {date} of {month}"
    ),
    "team": _items(
        "{place} United, {place} Rovers, {place} City, {place} Town, the {place} Wanderers, the {place} Lions"
    ),
    # News
    "building": _items(
        "school, hospital, library, bridge, station, theatre, market hall, power plant, harbour, swimming pool, "
        "town hall, museum, factory, railway tunnel, court, university, airport, football ground"
    ),
    "project": _items(
        "new {building}, old {building}, road repair, tram line, housing plan, flood wall, cycle path, "
        "solar farm, recycling scheme, bus service, youth centre, fishing fleet"
    ),
    "adjective": _items(
        "important, difficult, expensive, popular, serious, unusual, modern, careful, generous, urgent, "
        "historic, remarkable, sensible, dangerous, welcome, quiet"
    ),
    "people": _items(
        "residents, workers, teachers, farmers, doctors, drivers, students, parents, nurses, visitors, "
        "shop owners, engineers, volunteers, neighbours, passengers, fishermen"
    ),
    "problem": _items(
        "a shortage of water, rising prices, heavy traffic, a broken pipe, the lack of staff, a delayed budget, "
        "poor lighting, noise at night, an electrical fault, a sudden flood, a strike, higher rents"
    ),
    "money": _items(
        "{small} million pounds, {hundreds} thousand pounds, {medium} thousand pounds, {medium} million pounds"
    ),
    "decide": _items("approved, rejected, delayed, discussed, supported, changed, cancelled, announced"),
    "body": _items(
        "council, government, parliament, court, committee, board of directors, health service, police, "
        "water company, transport office"
    ),
    "news_opening": _lines("""
        good evening, this is the news from {place} on {weekday} the {date} of {month}.
        good morning and welcome to the news, I'm {first} {last}.
        welcome to the {weekday} bulletin with {first} {last}.
        it is {hour} o'clock, and here are the headlines from {place}.
        here is the latest news for {place} and {region}, read by {first} {last}.
        hello, I'm {first} {last}, and these are the main stories this {weekday}.
    """),
    "news": _lines("""
        the {body} has {decide} a plan for the {project} in {place}.
        the {body} {decide} the {project} {daypart} after a long debate.
        {person} said that the {project} would open {when}.
        {person} told reporters that the decision was {adjective} but fair.
        {people} in {place} are worried about {problem}.
        {people} have complained about {problem} for {small} years.
        more than {hundreds} {people} met {daypart} near the {building}.
        the {project} will cost {money}, and the work begins {when}.
        police are looking for witnesses after a fire at the {building} in {place}.
        firefighters needed {small} hours to save the {building}.
        nobody was hurt, but the {building} will stay closed until {weekday}.
        the {building} in {place} is to receive {money} from the {body}.
        a report says that {problem} affects {medium} percent of all {people}.
        according to {person}, {problem} is the main reason for the delay.
        the {official} thanked the {people} for their {adjective} work.
        {person} has been elected leader of the {body} with {medium} votes.
        the {body} promised to answer the {people} {when}.
        in {place}, {people} celebrated the opening of the {project}.
        a {adjective} discovery was made {daypart} by {people} near {place}.
        the road between {place} and {place} is closed because of {problem}.
        trains to {place} are running about {medium} minutes late.
        the company plans to hire {hundreds} {people} in {region}.
        {person} will visit {place} and speak with {people} {when}.
        a court has ruled that the {body} must pay {money} to {people}.
        prices for food and energy rose by {small} percent in {month}.
        the number of {people} in {region} has doubled since {month}.
        scientists at the university of {place} have found an {adjective} way to clean water.
        the {project} was {decide} because of {problem}.
        if the {body} agrees, the {project} could be ready {when}.
        {first} {last} reports from {place}.
        the {official} of {place} called the plan {adjective}.
        thousands of {people} will vote on the {project} {when}.
        an old ship was found {daypart} in the harbour of {place}.
        our reporter {first} {last} has spoken with {people} in {place}.
    """),
    "question": _lines("""
        what does the {body} say about {problem}?
        {first}, how do the {people} feel about the {project}?
        when will the {building} in {place} open again?
        is there enough money for the {project}?
        why was the {project} {decide}?
        who is going to pay {money} for the {building}?
        do the {people} in {place} have to wait until {weekday}?
        can {person} still stop the {project}?
    """),
    "news_closing": _lines("""
        that was the news, the next bulletin follows at {hour} o'clock.
        more on these stories at {hour} thirty with {first} {last}.
        thank you for watching, and good night from all of us in {place}.
        we will be back {when} with more from {region}.
        and now the weather with {first} {last}.
        and now over to {first} {last} with the sport.
    """),
    # Weather
    "wind": _items("light, fresh, strong, cold, warm, gentle, stormy, westerly, northerly, easterly"),
    "sky": _items(
        "sunny spells, light rain, heavy rain, thick fog, scattered showers, clear skies, broken clouds, wet snow, "
        "thunderstorms, drizzle, frost, bright sunshine, grey clouds, hail, a little mist, ice on the roads"
    ),
    "weather_opening": _lines("""
        here is the weather forecast for {weekday} and {weekday}.
        good evening, let's look at the weather in {region}.
        hello, and here is your weather with {first} {last}.
        after {sky} {daypart}, a change is coming to {region}.
    """),
    "weather": _lines("""
        {weekday} begins with {sky} in {region}.
        {sky} will move across {region} {when}.
        temperatures reach {degrees} degrees in {place}.
        the highest temperature {when} will be {degrees} degrees, the lowest {degrees}.
        the wind will be {wind} and comes from {region}.
        in {region} it stays dry, with {sky} later.
        drivers near {place} should expect {sky}.
        towards the evening {sky} spread from {region} to {region}.
        at night it falls to {small} degrees, with {sky} in {region}.
        {wind} winds bring {sky} to {place}.
        around {place} there may be {sky} before noon.
        the sea is calm near {place}, with a {wind} breeze.
        waves of up to {small} metres are likely along the coast at {place}.
        the weekend looks better, with {sky} and {degrees} degrees.
        between {place} and {place} we expect {sky}.
        on {weekday} the sun rises at {hour} thirty and sets at {hour} fifteen.
        there is a warning of {sky} for {region} until {weekday}.
        river levels in {place} are falling after {sky} on {weekday}.
        {month} was colder than usual, with only {medium} hours of sunshine.
        take an umbrella with you if you travel to {place} {when}.
        last year in {month} we had {degrees} degrees in {region}.
    """),
    "weather_closing": _lines("""
        that is all from the weather centre in {place}.
        have a pleasant {weekday}, wherever you are in {region}.
        the next forecast follows at {hour} o'clock.
        goodbye, and enjoy the {sky}.
    """),
    # Sport
    "sport_opening": _lines("""
        welcome to the sport with {first} {last}.
        it has been an exciting {weekday} for {team}.
        good evening from the stadium in {place}.
        here are the results from {weekday}.
    """),
    "player": _items("{first} {last}, {last}, the captain, the young goalkeeper, the new striker, the substitute"),
    "sport": _lines("""
        {team} beat {team} by {small} goals to one.
        {player} scored in the {minute} minute for {team}.
        {team} and {team} shared the points after a {adjective} second half.
        the referee showed {player} a red card after {medium} minutes.
        {player} will miss {small} games with an injured {limb}.
        the coach of {team} praised {player} after the match.
        more than {hundreds} supporters travelled from {place} to {place}.
        {team} are now in {position} place with {medium} points.
        {player} won the {race} in {place} in record time.
        {first} {last} finished {position} in the {race}.
        {team} have signed {first} {last} for {money}.
        after the break {player} missed two chances to win the game.
        {team} play at home against {team} {when}.
        it was the {position} victory in a row for {team}.
        the {race} in {place} starts {when}.
        {player} has trained for {small} months in {region}.
        fans of {team} sang for {medium} minutes in the rain.
        the final of the cup takes place in {place} {when}.
        nobody expected {team} to lose against {team}.
        {first} {last} won the first set, but lost the match in {place}.
        the crew from {place} rowed across the lake in {medium} minutes.
        the coach hopes that {player} returns {when}.
    """),
    "minute": _items("first, fifth, tenth, twelfth, thirtieth, fortieth, sixtieth, eightieth, ninetieth, last"),
    "position": _items("first, second, third, fourth, fifth, sixth, seventh, eighth, ninth, tenth"),
    "limb": _items("knee, ankle, shoulder, foot, back, hand, finger, leg"),
    "race": _items("marathon, bicycle race, boat race, ski race, long jump, high jump, relay, swimming contest"),
    "sport_closing": _lines("""
        that was the sport, and now back to {first} {last} in the studio.
        more sport {when} at {hour} o'clock.
        we return to {place} {when} for the match of {team}.
        thank you for joining us from {place}.
    """),
    # Talk
    "topic": _items(
        "music, cooking, gardening, travel, history, books, films, science, painting, dancing, bees, trains, "
        "the sea, family life, old houses, wild animals, languages, photography"
    ),
    "work": _items(
        "a novel, a song, a garden, a film, a wooden boat, a small restaurant, a cookery book, a play, "
        "a bakery, a choir, a school for {topic}, a magazine about {topic}"
    ),
    "talk_opening": _lines("""
        welcome to the {weekday} talk, today about {topic} and {topic}.
        my guest today is {first} {last}, who knows everything about {topic}.
        good evening, tonight we speak about {topic} with {first} {last}.
        hello and welcome, {first} {last} is with us to talk about {work}.
    """),
    "ask": _lines("""
        how did you begin with {topic}?
        when did you start to work on {work}?
        what do you like most about {topic}?
        would you move to {place} for {work}?
        is life with {topic} really so {adjective}?
        who helped you with {work}?
        do you remember the first time you saw {place}?
        what would you say to {people} who love {topic}?
        why did you leave {place} in {month}?
        are you going to finish {work} {when}?
        did your parents teach you about {topic}?
        how many hours do you spend on {topic}?
    """),
    "answer": _lines("""
        well, I was {medium} years old when I first heard about {topic}.
        my grandmother had {work} in {place}, and I loved it.
        to be honest, I never thought that {topic} could be so {adjective}.
        it took me {small} years to finish {work}.
        I think {topic} and {topic} belong together.
        we moved from {place} to {place} when I was {small}.
        people often ask me about {topic}, but I prefer {topic}.
        yes, and {first} helped me a lot with {work}.
        no, I would rather write {work} than talk about {topic}.
        every {weekday} I walk along the river and think about {topic}.
        there were days when nobody came, only {small} people from {place}.
        it is {adjective} to live with {topic} every day.
        you need patience, good friends and {money} for {work}.
        I learned it from {person} in {place}.
        next year I will open {work} in {region}.
        my brother {first} says that {topic} is only for {people}.
        we laughed for {medium} minutes about {work}.
        the best thing about {topic} is that you never stop learning.
        I remember a {adjective} evening with {people} in {place}.
        last {month} I read {small} books about {topic}.
    """),
    "react": _lines("""
        that sounds {adjective}, {first}.
        I didn't know that about {topic}.
        that's right, {people} often say that.
        let's come back to {topic} in a moment.
        so {topic} was more {adjective} than {topic}.
        you must tell us more about {work}.
        I can't imagine {place} without {topic}.
    """),
    "talk_closing": _lines("""
        thank you, {first} {last}, for coming to {place}.
        {when} we talk about {topic}, see you then.
        that was our talk about {topic}, good night.
        next {weekday} {first} {last} will be here to talk about {topic}.
    """),
}
