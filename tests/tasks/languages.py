"""Texts of the kind that prompts and answers are, by language: two sentences, and one of a few words."""

TEXTS = {
    "en": [
        "How do I keep tomato plants healthy during a long and dry summer?",
        "Please write a short letter in which I thank my neighbour for feeding the cat.",
        "How are you?",
    ],
    "de": [
        "Wie halte ich Tomatenpflanzen in einem langen, trockenen Sommer gesund?",
        "Schreibe bitte einen kurzen Brief, in dem ich meiner Nachbarin für das Füttern der Katze danke.",
        "Wie geht es dir?",
    ],
    "fr": [
        "Comment garder des plants de tomates en bonne santé pendant un été long et sec ?",
        "Écris une courte lettre dans laquelle je remercie ma voisine d'avoir nourri le chat.",
        "Comment vas-tu aujourd'hui ?",
    ],
    "es": [
        "¿Cómo mantengo sanas las plantas de tomate durante un verano largo y seco?",
        "Escribe una carta breve en la que doy las gracias a mi vecina por dar de comer al gato.",
        "¿Dónde está la biblioteca?",
    ],
    "pt": [
        "Como mantenho os tomateiros saudáveis durante um verão longo e seco?",
        "Escreva uma carta curta em que agradeço à minha vizinha por ter alimentado o gato.",
        "Não sei o que fazer.",
    ],
    "it": [
        "Come posso mantenere sane le piante di pomodoro durante un'estate lunga e secca?",
        "Scrivi una breve lettera in cui ringrazio la mia vicina per aver dato da mangiare al gatto.",
        "Dove si trova la stazione?",
    ],
    "nl": [
        "Hoe houd ik tomatenplanten gezond tijdens een lange en droge zomer?",
        "Schrijf een korte brief waarin ik mijn buurvrouw bedank voor het voeren van de kat.",
        "Waar is het station?",
    ],
    "sv": [
        "Hur håller jag tomatplantor friska under en lång och torr sommar?",
        "Skriv ett kort brev där jag tackar min granne för att hon matade katten.",
        "Vad heter du?",
    ],
    "pl": [
        "Jak utrzymać pomidory w zdrowiu podczas długiego i suchego lata?",
        "Napisz krótki list, w którym dziękuję sąsiadce za nakarmienie kota.",
        "Gdzie jest dworzec?",
    ],
    "cs": [
        "Jak udržet rostliny rajčat zdravé během dlouhého a suchého léta?",
        "Napiš krátký dopis, ve kterém děkuji sousedce za to, že nakrmila kočku.",
        "Kde je nádraží?",
    ],
    "ro": [
        "Cum păstrez roșiile sănătoase într-o vară lungă și secetoasă?",
        "Scrie o scrisoare scurtă în care îi mulțumesc vecinei pentru că a hrănit pisica.",
        "Ce mai faci?",
    ],
    "hu": [
        "Hogyan tartsam egészségesen a paradicsomot egy hosszú és száraz nyáron?",
        "Írj egy rövid levelet, amelyben megköszönöm a szomszédomnak, hogy megetette a macskát.",
        "Hol van az állomás?",
    ],
    "fi": [
        "Miten pidän tomaatit terveinä pitkän ja kuivan kesän aikana?",
        "Kirjoita lyhyt kirje, jossa kiitän naapuriani kissan ruokkimisesta.",
        "Mitä kuuluu?",
    ],
    "tr": [
        "Uzun ve kurak bir yazda domates fidelerini nasıl sağlıklı tutarım?",
        "Kediyi beslediği için komşuma teşekkür ettiğim kısa bir mektup yaz.",
        "İstasyon nerede?",
    ],
    "vi": [
        "Làm thế nào để giữ cây cà chua khỏe mạnh trong một mùa hè dài và khô?",
        "Hãy viết một bức thư ngắn cảm ơn người hàng xóm đã cho mèo ăn.",
        "Bạn có khỏe không?",
    ],
    "id": [
        "Bagaimana cara menjaga tanaman tomat tetap sehat selama musim kemarau yang panjang?",
        "Tulislah surat pendek untuk berterima kasih kepada tetangga yang sudah memberi makan kucing saya.",
        "Apa kabar hari ini?",
    ],
    "ru": [
        "Как сохранить помидоры здоровыми во время долгого и сухого лета?",
        "Напиши короткое письмо, в котором я благодарю соседку за то, что она кормила кошку.",
        "Как у тебя дела?",
    ],
    "uk": [
        "Як зберегти помідори здоровими протягом довгого й сухого літа?",
        "Напиши короткого листа, у якому я дякую сусідці за те, що вона годувала кішку.",
        "Де знаходиться вокзал?",
    ],
    "el": [
        "Πώς διατηρώ τις ντομάτες υγιείς σε ένα μακρύ και ξηρό καλοκαίρι;",
        "Γράψε ένα σύντομο γράμμα στο οποίο ευχαριστώ τη γειτόνισσά μου που τάισε τη γάτα.",
        "Τι κάνεις;",
    ],
    "ar": [
        "كيف أحافظ على صحة نباتات الطماطم خلال صيف طويل وجاف؟",
        "اكتب رسالة قصيرة أشكر فيها جارتي على إطعام القطة.",
        "كيف حالك اليوم؟",
    ],
    "fa": [
        "چگونه گیاهان گوجه‌فرنگی را در تابستانی طولانی و خشک سالم نگه دارم؟",
        "نامه‌ای کوتاه بنویس که در آن از همسایه‌ام برای غذا دادن به گربه تشکر می‌کنم.",
        "حال شما چطور است؟",
    ],
    "he": [
        "איך שומרים על שתילי עגבניות בריאים בקיץ ארוך ויבש?",
        "כתוב מכתב קצר שבו אני מודה לשכנה שהאכילה את החתול.",
        "מה שלומך היום?",
    ],
    "hi": [
        "लंबी और सूखी गर्मी में टमाटर के पौधों को स्वस्थ कैसे रखूँ?",
        "एक छोटा पत्र लिखो जिसमें मैं बिल्ली को खाना खिलाने के लिए पड़ोसी को धन्यवाद देता हूँ।",
        "आप कैसे हैं?",
    ],
    "bn": [
        "দীর্ঘ ও শুষ্ক গ্রীষ্মে টমেটো গাছ কীভাবে সুস্থ রাখব?",
        "একটি ছোট চিঠি লেখো যেখানে আমি বিড়ালকে খাওয়ানোর জন্য প্রতিবেশীকে ধন্যবাদ জানাই।",
        "তুমি কেমন আছ?",
    ],
    "th": [
        "ฉันจะดูแลต้นมะเขือเทศให้แข็งแรงตลอดฤดูร้อนที่ยาวนานและแห้งแล้งได้อย่างไร",
        "ช่วยเขียนจดหมายสั้น ๆ ขอบคุณเพื่อนบ้านที่ให้อาหารแมวของฉัน",
        "สบายดีไหม",
    ],
    "zh": [
        "在漫长而干燥的夏天，怎样让番茄植株保持健康？",
        "请写一封短信，感谢邻居帮我喂猫。",
        "你今天好吗？",
    ],
    "ja": [
        "長くて乾燥した夏に、トマトの苗を元気に保つにはどうすればよいですか。",
        "猫に餌をあげてくれた隣の人に感謝する短い手紙を書いてください。",
        "元気ですか？",
    ],
    "ko": [
        "길고 건조한 여름 동안 토마토를 건강하게 키우려면 어떻게 해야 하나요?",
        "고양이에게 먹이를 준 이웃에게 감사하는 짧은 편지를 써 주세요.",
        "잘 지내세요?",
    ],
}
