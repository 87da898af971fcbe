"""Running text of known words in five languages, for pages that are printed at run time. English is of seed documents.

The other four are sentences of our own, in a seeded order and with numbers that make each sentence one of its kind.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

_NAMES = ("Sandworm", "Turla", "Lazarus", "Carbanak", "Kimsuky", "Gamaredon", "APT28", "FIN7", "Emotet", "QakBot")
_SENTENCES = {
    "de": (
        "Die Schadsoftware {name} verschlüsselte {n} Arbeitsplatzrechner der Krankenhausverwaltung innerhalb weniger "
        "Stunden.",
        "Nach Angaben der Sicherheitsbehörden nutzte {name} eine Schwachstelle in der Fernwartungssoftware aus, die "
        "seit {n} Tagen bekannt war.",
        "Energieversorgungsunternehmen sollten ihre Notfallwiederherstellungspläne überprüfen und Datensicherungen "
        "getrennt aufbewahren.",
        "Die Angreifer veröffentlichten {n} Dateien, darunter Vertragsunterlagen, Personalausweiskopien und "
        "Gehaltsabrechnungen.",
        "Ein Zusammenhang mit {name} gilt als wahrscheinlich, ist aber nicht abschließend bestätigt.",
        "Für die Wasserwirtschaft wurden {n} zusätzliche Überwachungsmaßnahmen empfohlen; größere Ausfälle blieben "
        "aus.",
        "Zugangsdaten, die aus früheren Veröffentlichungen stammten, ermöglichten die Anmeldung ohne "
        "Mehrfaktorauthentifizierung.",
        "Der Verfassungsschutz warnte {n} Unternehmen der Rüstungsindustrie vor gefälschten Stellenangeboten.",
    ),
    "ru": (
        "Вредоносная программа {name} зашифровала {n} рабочих станций в сети областной больницы за несколько часов.",
        "По данным исследователей, группировка {name} использовала уязвимость в системе удалённого доступа, известную "
        "уже {n} дней.",
        "Предприятиям энергетики рекомендуется проверить планы восстановления и хранить резервные копии отдельно.",
        "Злоумышленники опубликовали {n} файлов, среди которых договоры, копии паспортов и расчётные ведомости.",
        "Связь с группой {name} вероятна, однако окончательного подтверждения пока нет.",
        "Для водоканалов подготовлено {n} дополнительных мер наблюдения; крупных перебоев не произошло.",
        "Учётные данные из прежних утечек позволили войти в систему без второго фактора проверки подлинности.",
        "Специалисты предупредили {n} предприятий оборонной промышленности о поддельных предложениях работы.",
    ),
    "ar": (
        "قامت البرمجية الخبيثة {name} بتشفير {n} جهازا في شبكة المستشفى خلال ساعات قليلة.",
        "وفقا للباحثين استغلت المجموعة {name} ثغرة في نظام الوصول عن بعد كانت معروفة منذ {n} يوما.",
        "ينبغي على شركات الطاقة مراجعة خطط الاستعادة والاحتفاظ بنسخ احتياطية في مكان منفصل.",
        "نشر المهاجمون {n} ملفا منها عقود ونسخ من جوازات السفر وكشوف الرواتب.",
        "من المحتمل وجود صلة بالمجموعة {name} غير أن ذلك لم يؤكد بعد.",
        "أوصي باتخاذ {n} إجراء إضافيا للمراقبة في محطات المياه ولم تحدث انقطاعات كبيرة.",
        "سمحت بيانات الدخول المسربة سابقا بالدخول إلى النظام دون عامل ثان للتحقق.",
        "حذر الخبراء {n} شركة في قطاع الدفاع من عروض عمل مزيفة.",
    ),
    "zh": (
        "恶意软件{name}在几小时内加密了医院网络中的{n}台工作站。",
        "研究人员表示,{name}组织利用了远程访问系统中的一个漏洞,该漏洞在{n}天前已被公开。",
        "能源企业应当检查恢复计划,并将备份数据与生产网络分开保存。",
        "攻击者公布了{n}个文件,其中包括合同、护照复印件和工资单。",
        "该事件很可能与{name}有关,但目前尚未得到最终证实。",
        "针对供水系统提出了{n}项额外的监测措施,没有发生大规模中断。",
        "此前泄露的登录凭据使攻击者无需第二重验证即可进入系统。",
        "专家提醒{n}家国防工业企业注意虚假的招聘信息。",
    ),
}
LANGUAGES = ("de", "ru", "ar", "zh")


def sentences(language: str, count: int, *, seed: int = 7) -> list[str]:
    """``count`` sentences; of English the seed documents have more than enough, see ``english``."""
    draw = random.Random(f"{language} {seed}")
    known = _SENTENCES[language]
    return [draw.choice(known).format(name=draw.choice(_NAMES), n=draw.randint(11, 9999)) for _ in range(count)]


def english(root: Path, count: int) -> list[str]:
    """Paragraphs of over 25 words from the Markdown among the seed documents, without its marks."""
    found: list[str] = []
    for path in sorted((root / "docs").rglob("*.md")):
        for block in path.read_text(encoding="utf-8").split("\n\n"):
            text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(block.split()))
            text = re.sub(r"[*`]|\b_|_\b", "", text)
            if text[:1].isalpha() and len(text.split()) > 25 and not re.search(r"[<>|_{}\\]", text):
                found.append(text)
    return found[:count]


def words(text: str) -> list[str]:
    """Words in lower case; letters of Chinese one by one, as nothing parts them. Marks do not count, nor accents."""
    return re.findall(r"[\u4e00-\u9fff]|[^\W_\u4e00-\u9fff]+", re.sub("[\u064b-\u0652\u00ad]", "", text).casefold())
