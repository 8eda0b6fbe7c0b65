"""What the voices of ``align_data.py`` read."""

from __future__ import annotations

# IEEE Recommended Practice for Speech Quality Measurements, 1969 ("Harvard sentences"), lists 1 and 2.
ENGLISH = """
The birch canoe slid on the smooth planks
Glue the sheet to the dark blue background
It's easy to tell the depth of a well
These days a chicken leg is a rare dish
Rice is often served in round bowls
The juice of lemons makes fine punch
The box was thrown beside the parked truck
The hogs were fed chopped corn and garbage
Four hours of steady work faced us
A large size in stockings is hard to sell
The boy was there when the sun rose
A rod is used to catch pink salmon
The source of the huge river is the clear spring
Kick the ball straight and follow through
Help the woman get back to her feet
A pot of tea helps to pass the evening
""".strip().splitlines()

# The Universal Declaration of Human Rights, 1948: articles 1, 3 and 5, some shortened; spaces between words.
OTHERS = {
    "es": """
Todos los seres humanos nacen libres e iguales en dignidad y derechos.
Y, dotados como están de razón y conciencia, deben comportarse fraternalmente los unos con los otros.
Todo individuo tiene derecho a la vida, a la libertad y a la seguridad de su persona.
Nadie será sometido a torturas ni a penas o tratos crueles, inhumanos o degradantes.
""",
    "fr": """
Tous les êtres humains naissent libres et égaux en dignité et en droits.
Ils sont doués de raison et de conscience et doivent agir les uns envers les autres dans un esprit de fraternité.
Tout individu a droit à la vie, à la liberté et à la sûreté de sa personne.
Nul ne sera soumis à la torture, ni à des peines ou traitements cruels, inhumains ou dégradants.
""",
    "de": """
Alle Menschen sind frei und gleich an Würde und Rechten geboren.
Sie sind mit Vernunft und Gewissen begabt und sollen einander im Geist der Brüderlichkeit begegnen.
Jeder hat das Recht auf Leben, Freiheit und Sicherheit der Person.
Niemand darf der Folter oder grausamer, unmenschlicher oder erniedrigender Behandlung unterworfen werden.
""",
    "it": """
Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.
Essi sono dotati di ragione e di coscienza e devono agire gli uni verso gli altri in spirito di fratellanza.
Ogni individuo ha diritto alla vita, alla libertà ed alla sicurezza della propria persona.
Nessun individuo potrà essere sottoposto a tortura o a trattamenti crudeli, inumani o degradanti.
""",
    "pt": """
Todos os seres humanos nascem livres e iguais em dignidade e em direitos.
Dotados de razão e de consciência, devem agir uns para com os outros em espírito de fraternidade.
Todo o indivíduo tem direito à vida, à liberdade e à segurança pessoal.
Ninguém será submetido a tortura nem a penas ou tratamentos cruéis, desumanos ou degradantes.
""",
    "nl": """
Alle mensen worden vrij en gelijk in waardigheid en rechten geboren.
Zij zijn begiftigd met verstand en geweten, en behoren zich jegens \
elkander in een geest van broederschap te gedragen.
Een ieder heeft het recht op leven, vrijheid en onschendbaarheid van zijn persoon.
Niemand zal onderworpen worden aan folteringen, noch aan een wrede, onmenselijke of onterende behandeling.
""",
    "pl": """
Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.
Są oni obdarzeni rozumem i sumieniem i powinni postępować wobec innych w duchu braterstwa.
Każdy człowiek ma prawo do życia, wolności i bezpieczeństwa swej osoby.
Nie wolno nikogo torturować ani karać lub traktować w sposób okrutny, nieludzki lub poniżający.
""",
    "ru": """
Все люди рождаются свободными и равными в своем достоинстве и правах.
Они наделены разумом и совестью и должны поступать в отношении друг друга в духе братства.
Каждый человек имеет право на жизнь, на свободу и на личную неприкосновенность.
Никто не должен подвергаться пыткам или жестоким, бесчеловечным или унижающим его достоинство наказаниям.
""",
    "tr": """
Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.
Akıl ve vicdana sahiptirler ve birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler.
Yaşamak, hürriyet ve kişi emniyeti her ferdin hakkıdır.
Hiç kimse işkenceye, zalimane, gayriinsani, haysiyet kırıcı cezalara veya muamelelere tabi tutulamaz.
""",
    "hi": """
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।
उन्हें बुद्धि और अन्तरात्मा की देन प्राप्त है और परस्पर उन्हें भाईचारे के भाव से बर्ताव करना चाहिए।
प्रत्येक व्यक्ति को जीवन, स्वाधीनता और वैयक्तिक सुरक्षा का अधिकार है।
किसी को भी शारीरिक यातना न दी जाएगी और न किसी के भी प्रति निर्दय, अमानुषिक या अपमानजनक व्यवहार होगा।
""",
    "zh": """
人 人 生 而 自 由， 在 尊 严 和 权 利 上 一 律 平 等。
他 们 赋 有 理 性 和 良 心， 并 应 以 兄 弟 关 系 的 精 神 相 对 待。
人 人 有 权 享 有 生 命、 自 由 和 人 身 安 全。
任 何 人 不 得 加 以 酷 刑， 或 施 以 残 忍 的、 不 人 道 的 或 侮 辱 性 的 待 遇 或 刑 罚。
""",
    "ja": """
すべての 人間は、 生まれながらに して 自由で あり、 かつ、 尊厳と 権利とに ついて 平等で ある。
人間は、 理性と 良心とを 授けられて おり、 互いに 同胞の 精神を もって 行動 しなければ ならない。
すべて 人は、 生命、 自由 及び 身体の 安全に 対する 権利を 有する。
何人も、 拷問 又は 残虐な、 非人道的な 若しくは 屈辱的な 取扱を 受ける ことは ない。
""",
}
# What the voices read for it, word by word.
READINGS = {
    "zh": """
ren2 ren2 sheng1 er2 zi4 you2, zai4 zun1 yan2 he2 quan2 li4 shang4 yi2 lv4 ping2 deng3.
ta1 men5 fu4 you3 li3 xing4 he2 liang2 xin1, bing4 ying1 yi3 xiong1 di4 guan1 xi4 de5 jing1 shen2 xiang1 dui4 dai4.
ren2 ren2 you3 quan2 xiang3 you3 sheng1 ming4, zi4 you2 he2 ren2 shen1 an1 quan2.
ren4 he2 ren2 bu4 de2 jia1 yi3 ku4 xing2, huo4 shi1 yi3 can2 ren3 de5, bu4 ren2 dao4 de5 huo4 wu3 ru3 xing4 de5 \
dai4 yu4 huo4 xing2 fa2.
""",
    "ja": """
すべての にんげんわ、 うまれながらに して じゆうで あり、 かつ、 そんげんと けんりとに \
ついて びょうどうで ある。
にんげんわ、 りせいと りょうしんとを さずけられて おり、 たがいに どうほうの \
せいしんを もって こうどう しなければ ならない。
すべて ひとわ、 せいめい、 じゆう および しんたいの あんぜんに たいする けんりを ゆうする。
なんぴとも、 ごうもん または ざんぎゃくな、 ひじんどうてきな もしくわ くつじょくてきな \
とりあつかいを うける ことわ ない。
""",
}
