"""Typical meeting sentences with glossary terms, each with a translation that uses the terms and one that doesn't."""

from __future__ import annotations

from dataclasses import dataclass

from operators.translation_requests import GlossaryEntry


@dataclass(frozen=True, slots=True)
class GlossarySentence:
    """A sentence in English with terms of a glossary.

    Attributes:
        target: the target language.
        source: the source text.
        terms: the terms in the source, with their translations.
        with_terms: a translation that uses these translations.
        without_terms: a translation that uses another word for each term.
    """

    target: str
    source: str
    terms: tuple[GlossaryEntry, ...]
    with_terms: str
    without_terms: str


def _sentences(target: str, *rows: tuple[str, str, str, str]) -> tuple[GlossarySentence, ...]:
    return tuple(
        GlossarySentence(target, source, _parse_terms(terms), with_terms, without_terms)
        for source, terms, with_terms, without_terms in rows
    )


def _parse_terms(written: str) -> tuple[GlossaryEntry, ...]:
    """Parse terms written as `budget=orçamento; order=encomenda`."""
    return tuple(sorted(GlossaryEntry(*entry.strip().split("=")) for entry in written.split(";")))


PORTUGUESE = _sentences(
    "pt-BR",
    (
        "We have to send the budget to the customer.",
        "budget=orçamento",
        "Temos que enviar o orçamento ao cliente.",
        "Temos que enviar a verba ao cliente.",
    ),
    (
        "The budgets for next year are not approved yet.",
        "budgets=orçamento",
        "Os orçamentos do próximo ano ainda não foram aprovados.",
        "As verbas do próximo ano ainda não foram aprovadas.",
    ),
    (
        "Who owns the backlog now that Ann has left?",
        "backlog=backlog",
        "Quem cuida do backlog agora que a Ann saiu?",
        "Quem cuida da lista agora que a Ann saiu?",
    ),
    (
        "Please close the purchase order and the order before it.",
        "purchase order=ordem de compra; order=encomenda",
        "Por favor, feche a ordem de compra e a encomenda anterior.",
        "Por favor, feche o pedido e o outro pedido anterior.",
    ),
    (
        "Every purchase order needs two signatures.",
        "purchase order=ordem de compra",
        "Todas as ordens de compra precisam de duas assinaturas.",
        "Todos os pedidos precisam de duas assinaturas.",
    ),
    (
        "IT will look at it on Monday.",
        "IT=TI",
        "A TI vai olhar isso na segunda-feira.",
        "A informática vai olhar isso na segunda-feira.",
    ),
    (
        "The Sprint Review is at 10:30 in the big room.",
        "Sprint Review=revisão da sprint",
        "A revisão da sprint é às 10h30 na sala grande.",
        "A reunião final é às 10h30 na sala grande.",
    ),
    (
        "Our churn went down by 2.5 percent in March.",
        "churn=taxa de cancelamento",
        "Nossa taxa de cancelamento caiu 2,5 por cento em março.",
        "Nossa rotatividade caiu 2,5 por cento em março.",
    ),
    (
        "I think the remote control needs fewer buttons.",
        "remote control=controle remoto",
        "Acho que o controle remoto precisa de menos botões.",
        "Acho que o comando precisa de menos botões.",
    ),
    (
        "The machine learning model is too slow, so we train the model again.",
        "machine learning model=modelo de aprendizado de máquina; model=modelo",
        "O modelo de aprendizado de máquina é muito lento, então treinamos o modelo de novo.",
        "A rede é muito lenta, então treinamos a rede de novo.",
    ),
    (
        "Can you share the roadmap with the partners?",
        "roadmap=roteiro",
        "Você pode compartilhar o roteiro com os parceiros?",
        "Você pode compartilhar o plano com os parceiros?",
    ),
    (
        "We deploy on Fridays, whatever people say.",
        "deploy=implantar",
        "Vamos implantar às sextas, digam o que disserem.",
        "Publicamos às sextas, digam o que disserem.",
    ),
    (
        "The lead designer wants a different case.",
        "lead designer=designer-chefe; case=carcaça",
        "O designer-chefe quer uma carcaça diferente.",
        "O projetista quer uma caixa diferente.",
    ),
    (
        "The kick-off takes two hours at most.",
        "kick-off=reunião de abertura",
        "A reunião de abertura leva no máximo duas horas.",
        "O pontapé inicial leva no máximo duas horas.",
    ),
    (
        "Kubernetes was down for 42 minutes last night.",
        "Kubernetes=Kubernetes",
        "O Kubernetes ficou fora do ar por 42 minutos ontem à noite.",
        "O sistema ficou fora do ar por 42 minutos ontem à noite.",
    ),
    (
        "There are three open issues about the login page.",
        "issues=chamado; login page=página de login",
        "Há três chamados abertos sobre a página de login.",
        "Há três problemas abertos sobre a entrada.",
    ),
    (
        "The steering committee meets twice a year.",
        "steering committee=comitê diretor",
        "O comitê diretor se reúne duas vezes por ano.",
        "O conselho se reúne duas vezes por ano.",
    ),
    (
        "Rubber buttons were popular with the test users.",
        "rubber buttons=botões de borracha; test users=usuários de teste",
        "Os botões de borracha agradaram aos usuários de teste.",
        "As teclas macias agradaram às pessoas.",
    ),
    (
        "We agreed on the scope, but not on the deliverables.",
        "scope=escopo; deliverables=entregáveis",
        "Concordamos quanto ao escopo, mas não quanto aos entregáveis.",
        "Concordamos quanto ao âmbito, mas não quanto ao resultado.",
    ),
    (
        "That is a question for the product owner.",
        "product owner=dono do produto",
        "Essa é uma pergunta para o dono do produto.",
        "Essa é uma pergunta para o gerente.",
    ),
)

GERMAN = _sentences(
    "de",
    (
        "We have to send the budget to the customer.",
        "budget=Haushalt",
        "Wir müssen dem Kunden den Haushalt schicken.",
        "Wir müssen dem Kunden das Budget schicken.",
    ),
    (
        "The budget's last page is missing.",
        "budget=Haushalt",
        "Die letzte Seite des Haushalts fehlt.",
        "Die letzte Seite des Budgets fehlt.",
    ),
    (
        "Let's go through the action items one by one.",
        "action items=Aufgaben",
        "Gehen wir die Aufgaben einzeln durch.",
        "Gehen wir die Punkte einzeln durch.",
    ),
    (
        "The release is on the 21st of May.",
        "release=Freigabe",
        "Die Freigabe ist am 21. Mai.",
        "Die Veröffentlichung ist am 21. Mai.",
    ),
    (
        "Nobody has looked at the releases since then.",
        "releases=Freigabe",
        "Seitdem hat niemand die Freigaben angesehen.",
        "Seitdem hat niemand die Veröffentlichungen angesehen.",
    ),
    (
        "HR wants to know who is coming.",
        "HR=Personalabteilung",
        "Die Personalabteilung möchte wissen, wer kommt.",
        "Die Verwaltung möchte wissen, wer kommt.",
    ),
    (
        "The customer care team takes care of it.",
        "customer care=Kundenbetreuung; customer=Kunde",
        "Das Team der Kundenbetreuung kümmert sich beim Kunden darum.",
        "Das Team im Service kümmert sich darum.",
    ),
    (
        "We measured the throughput with 64 clients.",
        "throughput=Durchsatz; clients=Client",
        "Wir haben den Durchsatz mit 64 Clients gemessen.",
        "Wir haben das Tempo mit 64 Rechnern gemessen.",
    ),
    (
        "The prototype costs 12.50 euros to make.",
        "prototype=Prototyp",
        "Der Prototyp kostet in der Herstellung 12,50 Euro.",
        "Das Muster kostet in der Herstellung 12,50 Euro.",
    ),
    (
        "Can the works council see these figures?",
        "works council=Betriebsrat",
        "Darf der Betriebsrat diese Zahlen sehen?",
        "Darf die Vertretung diese Zahlen sehen?",
    ),
    (
        "The works councils of both sites agreed.",
        "works councils=Betriebsrat",
        "Die Betriebsräte beider Standorte haben zugestimmt.",
        "Die Vertretungen beider Standorte haben zugestimmt.",
    ),
    (
        "The user interface is not the problem, the interface to the database is.",
        "user interface=Benutzeroberfläche; interface=Schnittstelle",
        "Die Benutzeroberfläche ist nicht das Problem, sondern die Schnittstelle zur Datenbank.",
        "Die Anzeige ist nicht das Problem, sondern die Anbindung der Datenbank.",
    ),
    (
        "I would put the deadline in the middle of June.",
        "deadline=Abgabetermin",
        "Ich würde den Abgabetermin auf Mitte Juni legen.",
        "Ich würde die Frist auf Mitte Juni legen.",
    ),
    (
        "The supplier sends the chip with the docking station.",
        "supplier=Zulieferer; docking station=Dockingstation",
        "Der Zulieferer schickt den Chip mit der Dockingstation.",
        "Der Lieferant schickt den Chip mit dem Ständer.",
    ),
    (
        "Five suppliers have answered so far.",
        "suppliers=Zulieferer",
        "Bisher haben fünf Zulieferer geantwortet.",
        "Bisher haben fünf Lieferanten geantwortet.",
    ),
    (
        "The Data Protection Officer must sign this.",
        "Data Protection Officer=Datenschutzbeauftragte",
        "Der Datenschutzbeauftragte muss das unterschreiben.",
        "Der Beauftragte muss das unterschreiben.",
    ),
    (
        "Parley keeps the transcript, and nothing else.",
        "Parley=Parley; transcript=Mitschrift",
        "Parley behält die Mitschrift und sonst nichts.",
        "Das Programm behält das Protokoll und sonst nichts.",
    ),
    (
        "We need a fallback for the weekend.",
        "fallback=Ausweichlösung",
        "Wir brauchen eine Ausweichlösung für das Wochenende.",
        "Wir brauchen einen Ersatz für das Wochenende.",
    ),
    (
        "The target group is older than we thought.",
        "target group=Zielgruppe",
        "Die Zielgruppe ist älter, als wir dachten.",
        "Die Kundschaft ist älter, als wir dachten.",
    ),
    (
        "Is the maintenance contract part of the offer?",
        "maintenance contract=Wartungsvertrag; offer=Angebot",
        "Ist der Wartungsvertrag Teil des Angebots?",
        "Ist die Pflege Teil der Offerte?",
    ),
)

JAPANESE = _sentences(
    "ja",
    (
        "We have to send the budget to the customer.",
        "budget=予算案; customer=取引先",
        "取引先に予算案を送らなければなりません。",
        "お客様に見積もりを送らなければなりません。",
    ),
    ("The budget is 1.5 million euros.", "budget=予算案", "予算案は150万ユーロです。", "費用は150万ユーロです。"),
    ("The stand-up starts at 9:15.", "stand-up=朝会", "朝会は9時15分に始まります。", "会議は9時15分に始まります。"),
    ("I will write the minutes today.", "minutes=議事録", "今日、議事録を書きます。", "今日、記録を書きます。"),
    (
        "Is this a bug or a feature?",
        "bug=不具合; feature=機能",
        "これは不具合ですか、それとも機能ですか。",
        "これはバグですか、それとも仕様ですか。",
    ),
    (
        "The head office in Tokyo has approved it.",
        "head office=本社",
        "東京の本社が承認しました。",
        "東京のオフィスが承認しました。",
    ),
    (
        "The remote control has 12 buttons.",
        "remote control=リモコン; buttons=ボタン",
        "リモコンには12個のボタンがあります。",
        "操作機には12個のキーがあります。",
    ),
    (
        "Kubernetes restarts the service by itself.",
        "Kubernetes=Kubernetes; service=サービス",
        "Kubernetesがサービスを自動で再起動します。",
        "クーバネティスがシステムを自動で再起動します。",
    ),
    (
        "AI is on the agenda of every meeting.",
        "AI=人工知能; agenda=議題",
        "人工知能はどの会議でも議題になっています。",
        "AIはどの会議でもテーマになっています。",
    ),
    (
        "The quality assurance team found three defects.",
        "quality assurance=品質保証; defects=欠陥",
        "品質保証チームは欠陥を三つ見つけました。",
        "検査チームは問題を三つ見つけました。",
    ),
    (
        "We can't change the specification any more.",
        "specification=仕様書",
        "もう仕様書は変更できません。",
        "もう内容は変更できません。",
    ),
    (
        "The milestone in April is at risk.",
        "milestone=マイルストーン",
        "四月のマイルストーンが危ういです。",
        "四月の目標が危ういです。",
    ),
    (
        "Marketing wants another logo, and the logo is final.",
        "Marketing=マーケティング部; logo=ロゴ",
        "マーケティング部は別のロゴを望んでいますが、ロゴは決定済みです。",
        "広報は別の図案を望んでいますが、図案は決定済みです。",
    ),
    (
        "The purchase order and the order form are ready.",
        "purchase order=発注書; order form=注文用紙",
        "発注書と注文用紙の準備ができました。",
        "書類とフォームの準備ができました。",
    ),
    (
        "Who is the person in charge?",
        "person in charge=担当者",
        "担当者はどなたですか。",
        "責任を持つ人はどなたですか。",
    ),
    (
        "The trial period ends in two weeks.",
        "trial period=試用期間",
        "試用期間は二週間後に終わります。",
        "お試しは二週間後に終わります。",
    ),
    (
        "Please update the manual before the launch.",
        "manual=取扱説明書; launch=発売",
        "発売の前に取扱説明書を更新してください。",
        "開始の前に説明を更新してください。",
    ),
    (
        "Our competitors already have speech recognition.",
        "competitors=競合他社; speech recognition=音声認識",
        "競合他社にはすでに音声認識があります。",
        "ライバルにはすでに認識機能があります。",
    ),
    (
        "The contract covers 20 seats.",
        "contract=契約書; seats=ライセンス",
        "契約書は20ライセンスを対象としています。",
        "合意は20席を対象としています。",
    ),
    ("The battery lasts for 48 hours.", "battery=電池", "電池は48時間持ちます。", "バッテリーは48時間持ちます。"),
)

SENTENCES = (*PORTUGUESE, *GERMAN, *JAPANESE)
