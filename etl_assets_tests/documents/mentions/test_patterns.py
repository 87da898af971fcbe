import re
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.documents.mentions.patterns import indicators


def found(text: str) -> list[tuple[str, str]]:
    return [(text[mention.start : mention.end], mention.entity_id) for mention in indicators(text)]


def ids(text: str) -> list[str]:
    return [mention.entity_id for mention in indicators(text)]


@pytest.mark.parametrize(
    ("text", "span", "entity_id"),
    [
        ("C2 at 193.218.118[.]190:8266 was", "193.218.118[.]190", "ipv4:193.218.118.190"),
        ("see 1(.)2(.)3(.)4", "1(.)2(.)3(.)4", "ipv4:1.2.3.4"),
        ("**91.109.190[.]4**", "91.109.190[.]4", "ipv4:91.109.190.4"),
        ("5.45.74.130 IP addresses", "5.45.74.130", "ipv4:5.45.74.130"),
        ("block 10.20.0.0/16 now", "10.20.0.0", "ipv4:10.20.0.0"),
        ("seen at 2001:DB8:0:0::1.", "2001:DB8:0:0::1", "ipv6:2001:db8::1"),
        ("from fe80::1 only", "fe80::1", "ipv6:fe80::1"),
        ("loopback ::1 here", "::1", "ipv6:::1"),
        ("*xmr-services[.]com*.", "xmr-services[.]com", "domain:xmr-services.com"),
        ("www[.]sunrare[.]com", "www[.]sunrare[.]com", "domain:www.sunrare.com"),
        ("goldncup [ . ] com is", "goldncup [ . ] com", "domain:goldncup.com"),
        ("evil[.com and", "evil[.com", "domain:evil.com"),
        (r"evil\.com and", r"evil\.com", "domain:evil.com"),
        ("evil{.}com", "evil{.}com", "domain:evil.com"),
        ("evil[dot]example[dot]org", "evil[dot]example[dot]org", "domain:evil.example.org"),
        ("the domain aozhengaodi.pw.", "aozhengaodi.pw", "domain:aozhengaodi.pw"),
        ("the domain get-tool.sh resolved", "get-tool.sh", "domain:get-tool.sh"),
        ("*.duckdns.org", "duckdns.org", "domain:duckdns.org"),
        ("www.evil.name: a sinkhole", "www.evil.name", "domain:www.evil.name"),
        ("mail.evil.com: a relay", "mail.evil.com", "domain:mail.evil.com"),
        ("Snort.org", "Snort.org", "domain:snort.org"),
        ("we saw evil.com.The actor", "evil.com", "domain:evil.com"),
        ("аррӏе.com", "аррӏе.com", "domain:xn--80ak6aa92e.com"),
        ("evil[.]рф", "evil[.]рф", "domain:evil.xn--p1ai"),
        ("hxxps://tdvomds[.]pw/12341324rfefv,", "hxxps://tdvomds[.]pw/12341324rfefv", "url:https://tdvomds.pw/12341324rfefv"),
        ("hxxp[:]//evil[.]com/A/b.PHP", "hxxp[:]//evil[.]com/A/b.PHP", "url:http://evil.com/A/b.PHP"),
        ("HXXP://EVIL.com/", "HXXP://EVIL.com/", "url:http://evil.com"),
        ("http[://]evil.com", "http[://]evil.com", "url:http://evil.com"),
        ("fxp://evil.com/x", "fxp://evil.com/x", "url:ftp://evil.com/x"),
        ("hxxp : //mailsa-wqw [ . ] com", "hxxp : //mailsa-wqw [ . ] com", "url:http://mailsa-wqw.com"),
        ("(https://en.wikipedia.org/wiki/A_(b))", "https://en.wikipedia.org/wiki/A_(b)", "url:https://en.wikipedia.org/wiki/A_(b)"),
        ("[x](http://a.com/b).", "http://a.com/b", "url:http://a.com/b"),
        ("http://1.2.3.4:8080/x", "http://1.2.3.4:8080/x", "url:http://1.2.3.4:8080/x"),
        ("http://[2001:db8::1]:80/a", "http://[2001:db8::1]:80/a", "url:http://[2001:db8::1]:80/a"),
        ("ftp://bob:pw@files.example.com/x", "ftp://bob:pw@files.example.com/x", "url:ftp://bob:pw@files.example.com/x"),
        ("https://evilhost/c2folder/", "https://evilhost/c2folder/", "url:https://evilhost/c2folder/"),
        ("pastebin[.]com/raw/G0jcGs79.", "pastebin[.]com/raw/G0jcGs79", "url:pastebin.com/raw/G0jcGs79"),
        ("at 5.45.74.130/gate/x", "5.45.74.130/gate/x", "url:5.45.74.130/gate/x"),
        ("x.com/a\\_b[.]js ", "x.com/a\\_b[.]js", "url:x.com/a_b.js"),
        ("https://cisa.gov/news-\nevents/alerts now", "https://cisa.gov/news-\nevents/alerts", "url:https://cisa.gov/news-events/alerts"),
        ("info@covidhospitalgeer[.]com ", "info@covidhospitalgeer[.]com", "email:info@covidhospitalgeer.com"),
        ("Tom.A+x[@]Evil.com", "Tom.A+x[@]Evil.com", "email:tom.a+x@evil.com"),
        ("tom [at] evil [dot] com", "tom [at] evil [dot] com", "email:tom@evil.com"),
        ("'joe@evil.com'", "joe@evil.com", "email:joe@evil.com"),
        ("cve-2021-44228", "cve-2021-44228", "cve:CVE-2021-44228"),
        ("CVE\u20112021\u201144228", "CVE\u20112021\u201144228", "cve:CVE-2021-44228"),
        ("CVE-2021-\n44228.", "CVE-2021-\n44228", "cve:CVE-2021-44228"),
        ("CWE-079", "CWE-079", "cwe:CWE-79"),
    ],
)  # fmt: skip
def test_an_indicator_is_found_with_its_raw_span_and_normal_form(text: str, span: str, entity_id: str) -> None:
    assert found(text) == [(span, entity_id)]


@pytest.mark.parametrize(
    "text",
    [
        "upgrade to version 1.2.3.4 today",
        "Firefox v88.0.43.24",
        "User-Agent Chrome/91.0.4.77",
        "affected: 10.2.1.4 and earlier",
        "before 192.1.2.3",
        "\n3.1.2.4 Session management",
        "performance of the server, at least 10. (C6)\n 916 5.1.1.2\n",
        "OID 1.3.6.1.4.1.311.2",
        "999.1.1.1 and 01.02.03.04 and 1.2.3",
        "open report.pdf, cmd.exe, index.php, setup.py, readme.md and install.sh",
        "call System.out, System.Net.WebClient, log.info(x), os.name and itr.next",
        "ASP.NET and VB.NET on Microsoft.NET",
        "com.android.vending and org.westpac.bank and com.google.app",
        "done.The end.It was e.g. i.e. a.m. U.S. Ph.D. M.Sc.",
        "at 11:41:45 on 2021-02-03, aa:bb:cc:dd:ee:ff, std::vector, a::b, ::",
        "id 123e4567-e89b-12d3-a456-426614174000",
        "0x" + "ab12" * 16,
        "0" * 64 + " " + "f" * 64 + " " + "1" * 40,
        "a1" * 33,
        "@property and user@localhost and @evil",
        "C:\\temp\\evil.com",
        "and/or TCP/IP n/a",
        "XCVE-2021-1234 and CVE-21-1",
        "http:// and https://$host/x and hxxp",
        "http://a.com:port/x"[:7],
        "my_file.so and lib_a.rs",
        "document.publisher.name: CISA\ndocument.tracking.generator.engine.name: CSAF\ndocument.tracking.id: icsa",
    ],
)
def test_versions_files_code_and_clock_times_are_no_indicators(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(("digits", "kind"), [(32, "md5"), (40, "sha1"), (64, "sha256"), (128, "sha512")])
def test_a_digest_is_hexadecimal_of_exact_length(digits: int, kind: str) -> None:
    digest = ("0123456789ABCDEF" * 8)[:digits]
    assert found(f"- {digest}.") == [(digest, f"{kind}:{digest.lower()}")]
    assert found(f"{digest}0") == []
    assert found(f"{digest}g") == []


def test_a_digest_broken_over_lines_is_one_and_a_list_of_digests_is_several() -> None:
    digest = "29b0d86ae68d83f9578c3f36041df943195bc55a7f3f1d45a9c23f145d75af9d"
    assert found(f"{digest[:40]}\n{digest[40:]}") == [(digest[:40], f"sha1:{digest[:40]}")]
    assert found(f"{digest[:37]}\n{digest[37:]} x") == [(f"{digest[:37]}\n{digest[37:]}", f"sha256:{digest}")]
    assert ids(f"{digest[:20]}\n{digest[20:41]}\r\n{digest[41:]}") == [f"sha256:{digest}"]
    assert ids(f"{digest[:32]}\n{digest[32:]}") == [f"md5:{digest[:32]}", f"md5:{digest[32:]}"]
    assert ids(f"{digest[:37]} {digest[37:]}") == []


def test_the_host_of_a_url_or_an_address_in_a_range_is_read_once() -> None:
    assert ids("http://a.com,http://b.com; x@c.com") == ["url:http://a.com", "url:http://b.com", "email:x@c.com"]
    assert ids("1.2.3.4-1.2.3.9") == ["ipv4:1.2.3.4", "ipv4:1.2.3.9"]


def test_context_settles_what_four_small_numbers_and_a_file_extension_are() -> None:
    assert ids("the IP address 4.3.2.1") == ["ipv4:4.3.2.1"]
    assert ids("Metasys 4.3.2.1") == []
    assert ids("the script run.sh") == []
    assert ids("bit.ly/3abc") == ["url:bit.ly/3abc"]


def test_a_host_name_that_idna_refuses_is_read_as_browsers_do_or_not_at_all() -> None:
    assert ids("a_b.пример[.]рф") == ["domain:a_b.xn--e1afmkfd.xn--p1ai"]
    assert ids("é" * 70 + "[.]com") == []
    assert ids("a." * 200 + "com") == []
    assert ids("12.online and 163.com") == ["domain:163.com"]


@given(st.ip_addresses(v=4), st.sampled_from((".", "[.]", "(.)", "[dot]", " [.] ", "\\.")))
def test_every_defanged_address_is_read_back(address: IPv4Address, dot: str) -> None:
    octets = str(address).split(".")
    raw = ".".join(octets[:3]) + dot + octets[3]
    if dot != ".":
        assert found(f"host {raw}, then") == [(raw, f"ipv4:{address}")]


@given(st.text(alphabet="ab1.[]()@:/-_\\ \nhtpxdotT059CVEé", max_size=60))
@settings(max_examples=300)
def test_spans_are_in_order_disjoint_and_inside_the_text(text: str) -> None:
    position = 0
    for mention in indicators(text):
        assert position <= mention.start < mention.end <= len(text)
        assert mention.entity_id.startswith(f"{mention.entity_type}:")
        assert 0 < mention.confidence <= 1
        position = mention.end


@pytest.mark.parametrize(
    "unit",
    ["a.", "a-", "1.", "[.]", "a[.]", "http://", "http://a.com/)", "hxxp://a[", "@", "a@", "a@b.", ":", "a:", "f" * 31,
     "f\n", "deadbeef\n", "CVE-", "1.1.1.1-", "(", "\\", "é.", "ab_", "x.com/(", "http://a.com/-\naa", " [ ", "T1059."],
)  # fmt: skip
def test_a_long_run_of_one_pattern_is_read_in_one_pass(unit: str) -> None:
    """Were any run read again from each of its places, this would be 10^10 steps and not end."""
    text = unit * (300_000 // len(unit)) + "@"
    assert all(re.search(r"\S", text[mention.start : mention.end]) for mention in indicators(text))
