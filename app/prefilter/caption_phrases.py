"""Phrases of social media posts that say nothing about the picture, in the languages that such posts use.

Fragments of regular expressions, matched on lower-case text at the start of a word (SCRIPT_* anywhere, as
those languages write without spaces). Words that also occur in medical prose ("DM" is diabetes mellitus,
"lesions share", "follow-up", Portuguese "curta", Spanish "comenta") stand only in a form that prose lacks.
"""

# Calls to act: everything before the phrase in its clause is kept.
CALLS = (
    r"follow\W{0,3}(?:us|me|along|if you|for (?:more|daily|weekly|new)|@)",
    r"follow (?:my|our|the|this) (?:page|account|channel)",
    r"swipe\b|subscribe\b|repost\b|stay tuned|turn on (?:post )?notifications",
    r"(?:like|save|share|comment|tag)(?:(?:\s?[,&+/]\s?|\s(?:and|or)\s|,\s(?:and|or)\s)"
    r"(?:like|save|share|comment|follow|tag|subscribe)\b){1,5}",
    r"save (?:this (?:post|for)|it for|for later)|share (?:this (?:post|page|with)|with your)|like this post",
    r"share your (?:thoughts|ideas|answers?|diagnosis|experience)|(?:comment|answers?) (?:below|down)\b",
    r"(?:leave|drop|write|post|put) (?:a comment|your|it in the comments)",
    r"tag (?:a (?:friend|colleague)|your|someone)|let (?:me|us) know|check out (?:our|my|the|this)",
    r"(?:see|check|read|in) (?:the )?(?:first |last )?comments?\b|dm (?:us|me|for more|for details)\b",
    r"sign up\b|register (?:now|here|today|via|at)\b|enroll? (?:now|in our|today)|join (?:us|our|me)\b",
    r"visit (?:our|my|us|the website)\b|don.?t (?:miss|forget)\b|(?:order|buy) (?:now|your copy)",
    r"(?:read|learn) more\b|watch (?:our|my|the full)\b|download (?:our|the app|now)",
    r"s[ií]gue(?:nos|me)\b|s[ií]guenos\b|s[ií]ganos\b|desliza\b|guarda est[ae]\b|comparte (?:est[ae]|con)\b",
    r"(?:comenta|deja) (?:abajo|tu|en los comentarios)|dale (?:me gusta|like)|suscr[ií]bete|inscr[ií]bete",
    r"no te pierdas|etiqueta a\b|¡?(?<!se )s[ií]g(?:a|ue|an|uen)(?:me|nos)?\W{0,3}(?:@|para (?:m[aá]s|mais|ver)"
    r"|(?:la|esta|mi|nuestra) (?:cuenta|p[aá]gina)|a conta)",
    r"siga(?:-nos| a p[aá]gina| o perfil| n[oa]ss[oa])|segue (?:l[aá]|a gente|o perfil)",
    r"arraste\b|deslize para",
    r"salve (?:est[ea]|esse|o post)|compartilhe\b|comente\b|curta (?:e|o post|a p[aá]gina)\b|inscreva-se",
    r"marque (?:um|seus|aqui)\b|n[aã]o perca\b",
    r"folg(?:e|t|en sie) (?:uns|mir)\b|wisch(?:e|t|en)\b|teil(?:e|t) (?:diesen|den beitrag)|abonnier\w*",
    r"speicher(?:e|t) (?:diesen|den|dir)|jetzt anmelden|meldet? (?:dich|euch) an",
    r"suivez(?:-nous|-moi| nous| notre)|abonnez-vous|glissez\b|swipez\b|partagez\b|enregistrez ce",
    r"commentez\b|inscrivez-vous",
    r"seguici\b|seguimi\b|scorri\b|salva (?:il post|questo)|condividi\b",
    r"takip (?:edin|et\b|etmeyi)|takibe|kayd[ıi]r(?:[ıi]n)?\b|kaydet(?:in|meyi)\b",
    r"payla[sş](?:[ıi]n|may[ıi])\b|yorum(?:lar[ad]a?)? (?:yap|yaz|b[ıi]rak)\w*|be[gğ]en(?:in|meyi)\b",
    r"подписывайтесь|листайте|ставьте лайк|сохраняйте пост",
)

# Advertisement and labels: the clause that holds one says nothing else.
ADVERTS = (
    r"link in (?:the |my |our |der )?(?:bio|profile|stor(?:y|ies))|in (?:my|our|the) bio\b",
    r"(?:daily|more) (?:cases|posts|content|updates)\b|for more (?:info|information|details)\b",
    r"(?:online|live) (?:\w{1,20} ){0,2}course\b|review course\b|(?:our|my) (?:\w{1,20} )?course\b",
    r"registration (?:is )?(?:now )?open|early bird|limited (?:seats|spots)|discount\b|promo code|webinar\b",
    r"give-?away\b|coming soon\b|all rights reserved|for educational purposes?|not medical advice",
    r"thank(?:s| you) for (?:watching|reading|following|sharing)|happy (?:mon|tues|wednes|thurs|fri)day",
    r"case of the (?:day|week|month)|slide of the (?:day|week|month)|quiz of the (?:day|week|month)",
    r"(?:enlace|link) en (?:la |mi |nuestra )?(?:bio|biograf[ií]a|perfil)|inscripciones abiertas",
    r"caso (?:del|de la|do|da|della|del) (?:d[ií]a|semana|mes|m[eê]s|giorno|settimana)",
    r"link na bio|inscri[cç][oõ]es abertas|fall (?:der woche|des tages|des monats)",
    r"lien (?:dans|en) (?:la |ma |notre )?(?:bio|profil)|cas (?:du jour|de la semaine|du mois)",
    r"(?:link|profil(?:de|deki)) (?:bioda|profilde|link)|(?:haftan[ıi]n|g[uü]n[uü]n) vakas[ıi]",
    r"ссылка в (?:профиле|шапке)|случай (?:дня|недели)",
)

SCRIPT_ADVERTS = (
    r"フォロー(?:して|お願い|よろしく)|いいね|保存して|プロフィールの(?:リンク|url)|スワイプ|今日の症例|今週の症例",
    r"关注我|關注我|点赞|點贊|转发|轉發|链接在|主页链接|左滑|右滑|扫码|今日病例|每日病例",
    r"팔로우|좋아요|프로필 링크|تابعونا|تابعنا|الرابط في",
)

# Words in front of a call that belong to it.
FILLERS = (
    r"please|pls|and|also|so|to|then|now|make sure to|be sure to|remember to|don.?t forget to|if you like"
    r"|por favor|y|e|und|et|ve|bitte|merci de|l[uü]tfen|n[aã]o se esque[cç]a de|no olvides"
)

# Quiz lines, with or without a question mark.
QUIZ = (
    r"what(?:.?s| is| would be| do you think is)? (?:your|the|ur) (?:diagnos[ie]s|dx|ddx|thoughts?)\b",
    r"(?:guess|spot|name) the\b|can you (?:guess|spot|find|identify|name)\b|any (?:ideas|thoughts|guesses)\b",
    r"(?:cu[aá]l|qual) (?:es|[eé]|seria|ser[ií]a) (?:tu|su|o seu|seu|el|o) diagn[oó]stico",
    r"quel est (?:votre|ton|le) diagnostic|(?:was ist|wie lautet) (?:eure|deine|ihre|die) diagnose",
    r"tan[ıi]n[ıi]z ne\w*",
)
SCRIPT_QUIZ = (r"診断は|诊断是|你的诊断|何でしょう",)

# A sentence that ends in a question mark asks the reader from such a word on, ...
ASKING = (
    r"what|what.?s|which|who|why|how|where|when|qu[eé]|cu[aá]l|c[oó]mo|qual|quais|wie|welche[rs]?|quelle?"
    r"|quale|nedir|hangi|какой|какая"
)
# ... or in the clause that holds such a word.
ADDRESSING = (
    r"you|your|ur|u|anyone|tu|tus|su|usted(?:es)?|voc[eê]s?|seu|sua|ihr|euch|eure|sie|vous|votre|voi|siz|sizce"
    r"|вы|ваш|diagnos[ie]s|diagn[oó]stico|diagnostic|diagnose|tan[ıi]|dx|ddx|thoughts?|ideas?|guess(?:es)?"
    r"|opini[oó]n(?:es)?"
)
SCRIPT_ASKING = r"何|ですか|でしょうか|什么|什麼|呢|吗|嗎|诊断|診断"

# Words after which a hashtag is part of the sentence.
JOINING = (
    r"a|an|the|of|in|on|at|by|to|from|for|with|and|or|as|is|are|was|this|these|no|not|vs|versus|like|shows|showing"
    r"|suggests|demonstrating|favou?ring|possible|probable|between|de|del|da|do|das|dos|di|della|la|el|le|les|los"
    r"|las|un|una|um|uma|une|en|em|con|com|avec|sans|y|e|et|o|ou|von|vom|im|mit|und|oder|der|die|das|den|des|dem"
    r"|ein|eine|einer|ve|bir|ile|в|с|и|из"
)
