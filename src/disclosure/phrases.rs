//! The sentences, language by language. `{…}` marks what is filled in.

/// A language that disclosures can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// German.
    German,
    /// Spanish.
    Spanish,
    /// French.
    French,
    /// Māori.
    Maori,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 5] = [
        Self::English,
        Self::German,
        Self::Spanish,
        Self::French,
        Self::Maori,
    ];

    /// Its tag (BCP 47).
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::Spanish => "es",
            Self::French => "fr",
            Self::Maori => "mi",
        }
    }

    pub(super) fn phrases(self) -> &'static Phrases {
        match self {
            Self::English => &ENGLISH,
            Self::German => &GERMAN,
            Self::Spanish => &SPANISH,
            Self::French => &FRENCH,
            Self::Maori => &MAORI,
        }
    }
}

/// Everything that a disclosure may say.
pub(super) struct Phrases {
    pub(super) heading: &'static str,
    /// Service, SMTP, submission, relays, excess, the rest, privacy, why, whom to ask.
    pub(super) matters: [&'static str; 9],
    pub(super) nearest: &'static str,
    pub(super) full: &'static str,
    pub(super) firewalled: &'static str,
    pub(super) client_public: &'static str,
    pub(super) client_private: &'static str,
    pub(super) smtp_open: &'static str,
    pub(super) smtp_closed: &'static str,
    pub(super) smtp_limited: &'static str,
    pub(super) but_relays: &'static str,
    pub(super) submission_open: &'static str,
    pub(super) submission_closed: &'static str,
    pub(super) relays_open: &'static str,
    pub(super) limit_one: &'static str,
    pub(super) limit_many: &'static str,
    /// Second, minute, hour, day: one of them and several.
    pub(super) units: [(&'static str, &'static str); 4],
    pub(super) dropped: &'static str,
    pub(super) reset: &'static str,
    pub(super) observed: &'static str,
    pub(super) rest: &'static str,
    pub(super) privacy: &'static str,
    pub(super) why: &'static str,
}

const ENGLISH: Phrases = Phrases {
    heading: "Mail filtering for the service “{class}”",
    matters: [
        "Type of service",
        "Delivering mail yourself (port 25)",
        "Sending through a mail service (ports 587 and 465)",
        "Our own mail servers",
        "What happens to connections that are not let through",
        "Receiving mail, and everything else",
        "What we look at",
        "Why we do this",
        "If this gets in your way",
    ],
    nearest: "As far as mail filtering goes, this service comes nearest to what RFC 4084 calls “{name}”.",
    full: "We do not filter outgoing mail connections.",
    firewalled: "You can run servers. The one exception is the limit on mail connections that is described here.",
    client_public: "You can use every service of the internet. A mail server of your own could not deliver mail to other networks.",
    client_private: "You can use every service of the internet. Your addresses cannot be reached from outside, so servers of your own cannot either.",
    smtp_open: "Open. You can run a mail server that delivers mail to other networks.",
    smtp_closed: "Closed. Connections from your line to port 25 of other networks do not pass. Mail programs and phones do not need this port.",
    smtp_limited: "Mail programs and phones do not need this port; a computer that sends spam runs into the limit.",
    but_relays: "Our own mail servers are the exception.",
    submission_open: "Open, without a limit.",
    submission_closed: "Closed. Use webmail, or our own mail servers if we offer you any.",
    relays_open: "They can always be reached.",
    limit_one: "Limited to 1 new connection in any period of {window}.",
    limit_many: "Limited to {n} new connections in any period of {window}.",
    units: [
        ("second", "seconds"),
        ("minute", "minutes"),
        ("hour", "hours"),
        ("day", "days"),
    ],
    dropped: "They get no answer. Below a limit, a later attempt goes through.",
    reset: "They are refused at once. Below a limit, a later attempt goes through.",
    observed: "At present we only count. Nothing is refused.",
    rest: "Not filtered by this. Other networks can reach a mail server of yours, if your service has a public address.",
    privacy: "The addresses and port numbers of connections. The content of your mail is neither read nor stored.",
    why: "Criminals take over computers and send spam with them, mostly without the owner noticing. The filter keeps such spam from leaving our network.",
};

const GERMAN: Phrases = Phrases {
    heading: "E-Mail-Filterung beim Dienst „{class}“",
    matters: [
        "Art des Dienstes",
        "E-Mail selbst zustellen (Port 25)",
        "Über einen E-Mail-Dienst senden (Ports 587 und 465)",
        "Unsere eigenen Mailserver",
        "Was mit Verbindungen geschieht, die nicht durchgelassen werden",
        "E-Mail empfangen, und alles andere",
        "Was wir uns ansehen",
        "Warum wir das tun",
        "Wenn Sie das behindert",
    ],
    nearest: "Was die E-Mail-Filterung angeht, entspricht dieser Dienst am ehesten dem, was RFC 4084 „{name}“ nennt.",
    full: "Ausgehende E-Mail-Verbindungen filtern wir nicht.",
    firewalled: "Sie können Server betreiben. Die einzige Ausnahme ist die hier beschriebene Grenze für E-Mail-Verbindungen.",
    client_public: "Sie können alle Dienste des Internets nutzen. Ein eigener Mailserver könnte keine E-Mail an andere Netze zustellen.",
    client_private: "Sie können alle Dienste des Internets nutzen. Ihre Adressen sind von außen nicht erreichbar, eigene Server daher auch nicht.",
    smtp_open: "Offen. Sie können einen Mailserver betreiben, der E-Mail an andere Netze zustellt.",
    smtp_closed: "Geschlossen. Verbindungen von Ihrem Anschluss zu Port 25 anderer Netze werden nicht durchgelassen. E-Mail-Programme und Telefone brauchen diesen Port nicht.",
    smtp_limited: "E-Mail-Programme und Telefone brauchen diesen Port nicht; ein Computer, der Spam verschickt, stößt an die Grenze.",
    but_relays: "Ausgenommen sind unsere eigenen Mailserver.",
    submission_open: "Offen, ohne Grenze.",
    submission_closed: "Geschlossen. Nutzen Sie Webmail oder unsere eigenen Mailserver, falls wir Ihnen welche anbieten.",
    relays_open: "Sie sind immer erreichbar.",
    limit_one: "Begrenzt auf 1 neue Verbindung in jedem Zeitraum von {window}.",
    limit_many: "Begrenzt auf {n} neue Verbindungen in jedem Zeitraum von {window}.",
    units: [
        ("Sekunde", "Sekunden"),
        ("Minute", "Minuten"),
        ("Stunde", "Stunden"),
        ("Tag", "Tagen"),
    ],
    dropped: "Sie bekommen keine Antwort. Unterhalb einer Grenze gelingt ein späterer Versuch.",
    reset: "Sie werden sofort abgewiesen. Unterhalb einer Grenze gelingt ein späterer Versuch.",
    observed: "Zurzeit zählen wir nur. Nichts wird abgewiesen.",
    rest: "Wird hiervon nicht gefiltert. Andere Netze können einen Mailserver bei Ihnen erreichen, wenn Ihr Dienst eine öffentliche Adresse hat.",
    privacy: "Die Adressen und Portnummern von Verbindungen. Der Inhalt Ihrer E-Mail wird weder gelesen noch gespeichert.",
    why: "Kriminelle übernehmen Computer und verschicken mit ihnen Spam, meist ohne dass die Besitzer es merken. Der Filter hält solchen Spam in unserem Netz zurück.",
};

const SPANISH: Phrases = Phrases {
    heading: "Filtrado de correo en el servicio «{class}»",
    matters: [
        "Tipo de servicio",
        "Entregar correo usted mismo (puerto 25)",
        "Enviar a través de un servicio de correo (puertos 587 y 465)",
        "Nuestros propios servidores de correo",
        "Qué ocurre con las conexiones que no pasan",
        "Recibir correo, y todo lo demás",
        "Qué miramos",
        "Por qué lo hacemos",
        "Si esto le supone un problema",
    ],
    nearest: "En cuanto al filtrado de correo, este servicio es lo más parecido a lo que el RFC 4084 llama «{name}».",
    full: "No filtramos las conexiones de correo salientes.",
    firewalled: "Puede tener servidores. La única excepción es el límite de conexiones de correo que se describe aquí.",
    client_public: "Puede usar todos los servicios de internet. Un servidor de correo propio no podría entregar correo a otras redes.",
    client_private: "Puede usar todos los servicios de internet. Sus direcciones no son accesibles desde fuera, y por tanto tampoco sus servidores.",
    smtp_open: "Abierto. Puede tener un servidor de correo que entregue correo a otras redes.",
    smtp_closed: "Cerrado. Las conexiones desde su línea al puerto 25 de otras redes no pasan. Los programas de correo y los teléfonos no necesitan este puerto.",
    smtp_limited: "Los programas de correo y los teléfonos no necesitan este puerto; un ordenador que envía spam topa con el límite.",
    but_relays: "La excepción son nuestros propios servidores de correo.",
    submission_open: "Abiertos, sin límite.",
    submission_closed: "Cerrados. Use el correo web, o nuestros propios servidores de correo si se los ofrecemos.",
    relays_open: "Siempre son accesibles.",
    limit_one: "Limitado a 1 conexión nueva en cualquier periodo de {window}.",
    limit_many: "Limitado a {n} conexiones nuevas en cualquier periodo de {window}.",
    units: [
        ("segundo", "segundos"),
        ("minuto", "minutos"),
        ("hora", "horas"),
        ("día", "días"),
    ],
    dropped: "No reciben respuesta. Por debajo de un límite, un intento posterior funciona.",
    reset: "Se rechazan de inmediato. Por debajo de un límite, un intento posterior funciona.",
    observed: "Por ahora solo contamos. No se rechaza nada.",
    rest: "No se filtra con esto. Otras redes pueden llegar a un servidor de correo suyo, si su servicio tiene una dirección pública.",
    privacy: "Las direcciones y los números de puerto de las conexiones. El contenido de su correo no se lee ni se guarda.",
    why: "Hay delincuentes que se apoderan de ordenadores y envían spam con ellos, casi siempre sin que su dueño lo note. El filtro impide que ese spam salga de nuestra red.",
};

const FRENCH: Phrases = Phrases {
    heading: "Filtrage du courrier pour le service « {class} »",
    matters: [
        "Type de service",
        "Remettre le courrier soi-même (port 25)",
        "Envoyer par un service de courrier (ports 587 et 465)",
        "Nos propres serveurs de courrier",
        "Ce que deviennent les connexions qui ne passent pas",
        "Recevoir du courrier, et tout le reste",
        "Ce que nous regardons",
        "Pourquoi nous le faisons",
        "Si cela vous gêne",
    ],
    nearest: "Pour le filtrage du courrier, ce service est au plus près de ce que la RFC 4084 appelle « {name} ».",
    full: "Nous ne filtrons pas les connexions de courrier sortantes.",
    firewalled: "Vous pouvez avoir des serveurs. La seule exception est la limite des connexions de courrier décrite ici.",
    client_public: "Vous pouvez utiliser tous les services d’internet. Un serveur de courrier à vous ne pourrait pas remettre de courrier à d’autres réseaux.",
    client_private: "Vous pouvez utiliser tous les services d’internet. Vos adresses ne sont pas joignables de l’extérieur, vos serveurs ne le sont donc pas non plus.",
    smtp_open: "Ouvert. Vous pouvez avoir un serveur de courrier qui remet du courrier à d’autres réseaux.",
    smtp_closed: "Fermé. Les connexions de votre ligne vers le port 25 d’autres réseaux ne passent pas. Les logiciels de courrier et les téléphones n’ont pas besoin de ce port.",
    smtp_limited: "Les logiciels de courrier et les téléphones n’ont pas besoin de ce port ; un ordinateur qui envoie du spam atteint la limite.",
    but_relays: "Nos propres serveurs de courrier font exception.",
    submission_open: "Ouverts, sans limite.",
    submission_closed: "Fermés. Utilisez le webmail, ou nos propres serveurs de courrier si nous vous en proposons.",
    relays_open: "Ils sont toujours joignables.",
    limit_one: "Limité à 1 nouvelle connexion sur toute période de {window}.",
    limit_many: "Limité à {n} nouvelles connexions sur toute période de {window}.",
    units: [
        ("seconde", "secondes"),
        ("minute", "minutes"),
        ("heure", "heures"),
        ("jour", "jours"),
    ],
    dropped: "Elles restent sans réponse. Sous une limite, un essai ultérieur aboutit.",
    reset: "Elles sont refusées aussitôt. Sous une limite, un essai ultérieur aboutit.",
    observed: "Pour l’instant nous ne faisons que compter. Rien n’est refusé.",
    rest: "Pas filtré par ceci. D’autres réseaux peuvent joindre un serveur de courrier chez vous, si votre service a une adresse publique.",
    privacy: "Les adresses et les numéros de port des connexions. Le contenu de votre courrier n’est ni lu ni conservé.",
    why: "Des criminels prennent le contrôle d’ordinateurs et s’en servent pour envoyer du spam, le plus souvent à l’insu du propriétaire. Le filtre empêche ce spam de quitter notre réseau.",
};

const MAORI: Phrases = Phrases {
    heading: "Te tātari īmēra o te ratonga “{class}”",
    matters: [
        "Te momo ratonga",
        "Te tuku tika i ō īmēra (tauranga 25)",
        "Te tuku mā tētahi ratonga īmēra (tauranga 587 me 465)",
        "Ā mātou ake tūmau īmēra",
        "Ka ahatia ngā hononga kāore e tukuna kia puta",
        "Te whiwhi īmēra, me ērā atu mea katoa",
        "Ngā mea ka tirohia e mātou",
        "He aha mātou i pēnei ai",
        "Mēnā ka raru koe i tēnei",
    ],
    nearest: "Mō te tātari īmēra, ko te mea e tata ana ki tēnei ratonga ko tā te RFC 4084 e kī nei ko “{name}”.",
    full: "Kāore mātou e tātari i ngā hononga īmēra e puta ana.",
    firewalled: "Ka taea e koe te whakahaere tūmau. Kotahi anake te mea rerekē: te tepe mō ngā hononga īmēra e whakamāramahia ana i konei.",
    client_public: "Ka taea e koe te whakamahi i ngā ratonga katoa o te ipurangi. Kāore e taea e tō ake tūmau īmēra te tuku īmēra ki ētahi atu whatunga.",
    client_private: "Ka taea e koe te whakamahi i ngā ratonga katoa o te ipurangi. Kāore e taea te toro mai i waho ki ō wāhitau, nō reira kāore hoki e taea te toro mai ki ō tūmau.",
    smtp_open: "Kei te tuwhera. Ka taea e koe te whakahaere i tētahi tūmau īmēra e tuku ana ki ētahi atu whatunga.",
    smtp_closed: "Kua katia. Kāore e puta ngā hononga i tō raina ki te tauranga 25 o ētahi atu whatunga. Kāore ngā taupānga īmēra me ngā waea pūkoro e hiahia ana ki tēnei tauranga.",
    smtp_limited: "Kāore ngā taupānga īmēra me ngā waea pūkoro e hiahia ana ki tēnei tauranga; ka pā te tepe ki te rorohiko e tuku ana i te īmēra parahanga.",
    but_relays: "Kāore tēnei e pā ki ā mātou ake tūmau īmēra.",
    submission_open: "Kei te tuwhera, kāore he tepe.",
    submission_closed: "Kua katia. Whakamahia te īmēra tukutuku, ā mātou ake tūmau īmēra rānei mēnā kei te tukuna e mātou ki a koe.",
    relays_open: "Ka taea te toro ki a rātou i ngā wā katoa.",
    limit_one: "Ko te tepe, kia 1 te hononga hou i roto i ia {window}.",
    limit_many: "Ko te tepe, kia {n} ngā hononga hou i roto i ia {window}.",
    units: [
        ("hēkona", "hēkona"),
        ("meneti", "meneti"),
        ("hāora", "hāora"),
        ("rā", "rā"),
    ],
    dropped: "Kāore e whakautua. I raro i te tepe, ka puta te ngana o muri mai.",
    reset: "Ka whakakāhoretia i taua wā tonu. I raro i te tepe, ka puta te ngana o muri mai.",
    observed: "I tēnei wā, he tatau anake tā mātou. Kāore he mea e whakakāhoretia ana.",
    rest: "Kāore e tātaritia e tēnei. Ka taea e ētahi atu whatunga te toro ki tō tūmau īmēra, mēnā he wāhitau tūmatanui tō ratonga.",
    privacy: "Ko ngā wāhitau me ngā nama tauranga o ngā hononga. Kāore e pānuitia, kāore hoki e puritia ngā kupu o ō īmēra.",
    why: "Ka tāhae te hunga taihara i ngā rorohiko hei tuku īmēra parahanga, i te nuinga o te wā kāore te kaipupuri e mōhio. Mā te tātari e noho ai taua parahanga ki roto i tō mātou whatunga.",
};
