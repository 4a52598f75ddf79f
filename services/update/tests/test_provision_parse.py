"""`nixel.toml`: what is taken, what is refused and in which words, and that no secret is ever repeated."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provisioning import (
    EXPONENT,
    KEY,
    KNOWN,
    PSK,
    SHA512,
    STRONG,
    WEAK,
    WHOLE,
    YESCRYPT,
    provisions,
    public_key,
)

from nixel.update.provision import Account, Network, Provision, Wifi, parse
from nixel.update.provision.cli import main, wireless_key


def test_a_whole_file():
    assert parse(WHOLE, KNOWN) == Provision(
        host_name="scanner-07",
        locale="de_DE.UTF-8",
        time_zone="Europe/Berlin",
        keyboard="de",
        wifi=Wifi("Klinik Gäste", PSK),
        network=Network("en*", "192.168.1.20/24", "192.168.1.1", ("192.168.1.1", "2001:db8::53")),
        accounts=(Account("operator", YESCRYPT), Account("technician", SHA512, (KEY,))),
    )


def test_a_file_as_a_windows_editor_saves_it():
    assert parse("\ufeff" + WHOLE.replace("\n", "\r\n"), KNOWN) == parse(WHOLE, KNOWN)


def test_what_is_not_named_is_left_alone():
    assert parse('keyboard = "us"') == Provision(keyboard="us")


@pytest.mark.parametrize(
    "text",
    [
        '[network]\naddress = "dhcp"',
        '[network]\ndns = ["9.9.9.9"]',
        '[network]\naddress = "2001:db8::7/64"\ngateway = "fe80::1"',
        '[network]\naddress = "10.0.0.0/31"\ngateway = "10.0.0.1"',  # RFC 3021: both are machines
        "[technician]\nssh-keys = []",
        f'[technician]\nssh-keys = ["{public_key("ssh-rsa", EXPONENT, STRONG)}"]',
        f'[operator]\npassword-hash = "$6$rounds=500000$a.b/c${"z" * 86}"',
    ],
)
def test_taken(text):
    assert isinstance(parse(text, KNOWN), Provision), parse(text, KNOWN)


# File, key of the problem, words of it.
REFUSED = [
    ('host-name = "Scanner"', "host-name", ['"Scanner"', "letters a-z"]),
    ('host-name = "scanner.clinic"', "host-name", ["no dots"]),
    ('host-name = "-scanner"', "host-name", ["no hyphen at either end"]),
    ('host-name = ""', "host-name", ['found ""']),
    (f'host-name = "{"a" * 64}"', "host-name", ["63"]),
    ("host-name = 7", "host-name", ["a number", "Put quotes around it"]),
    ("host-name = true", "host-name", ["true or false"]),
    ("host-name = 2026-01-01", "host-name", ["a date or time"]),
    ('host_name = "scanner"', "host_name", ["does not know", "Did you mean host-name?"]),
    ('colour = "red"', "colour", ["does not know", "Remove it"]),
    ('locale = "de_DE"', "locale", ["a locale in UTF-8", '"de_DE.UTF-8"']),
    ('locale = "fr_FR.UTF-8"', "locale", ["one of the locales of this system", "de_DE.UTF-8, en_US.UTF-8"]),
    ('time-zone = "CEST"', "time-zone", ["IANA", "Europe/Berlin"]),
    ('time-zone = "../../etc/shadow"', "time-zone", ["IANA"]),
    ('keyboard = "uk"', "keyboard", ["gb"]),
    ('wifi = "Clinic"', "wifi", ["a table", "[wifi]"]),
    ('[wifi]\nssid = "Clinic"', "wifi.psk", ["64 hexadecimal digits", "hash-wifi"]),
    (f'[wifi]\npsk = "{PSK}"', "wifi.ssid", ["the network's name"]),
    (f'[wifi]\nssid = ""\npsk = "{PSK}"', "wifi.ssid", ["1 to 32 bytes"]),
    (f'[wifi]\nssid = "{"ä" * 17}"\npsk = "{PSK}"', "wifi.ssid", ["1 to 32 bytes"]),
    (f'[wifi]\nssid = "a\\nb"\npsk = "{PSK}"', "wifi.ssid", ["printable"]),
    ('[wifi]\nssid = "Clinic"\npsk = "plainsecret"', "wifi.psk", ["plain passphrase", "hash-wifi"]),
    ('[wifi]\nssid = "Clinic"\npassphrase = "plainsecret"', "wifi.passphrase", ["plain words", "hash-wifi"]),
    ('[wifi]\nssid = "Clinic"\npassword = "plainsecret"', "wifi.password", ["plain words", "psk"]),
    ("[network]", "network", ["an empty table"]),
    ('[network]\naddress = "192.168.1.20"', "network.address", ["prefix length", "192.168.1.20/24"]),
    ('[network]\naddress = "192.168.1.20/255.255.255.0"', "network.address", ["192.168.1.20/24"]),
    ('[network]\naddress = "192.168.1.0/24"', "network.address", ["inside 192.168.1.0/24"]),
    ('[network]\naddress = "192.168.1.255/24"', "network.address", ["inside 192.168.1.0/24"]),
    ('[network]\naddress = "192.168.1.300/24"', "network.address", ["prefix length"]),
    ('[network]\naddress = "127.0.0.1/8"', "network.address", ["one machine"]),
    (
        '[network]\naddress = "10.0.0.2/24"\ngateway = "10.0.1.1"',
        "network.gateway",
        ["inside 10.0.0.0/24", "prefix"],
    ),
    ('[network]\naddress = "10.0.0.2/24"\ngateway = "10.0.0.2"', "network.gateway", ["another machine's"]),
    ('[network]\naddress = "10.0.0.2/24"\ngateway = "10.0.0.1/24"', "network.gateway", ["without a prefix"]),
    ('[network]\naddress = "dhcp"\ngateway = "10.0.0.1"', "network.gateway", ["DHCP"]),
    ('[network]\ngateway = "10.0.0.1"', "network.gateway", ["Add address"]),
    ('[network]\ndns = "9.9.9.9"', "network.dns", ["a list", "brackets"]),
    ('[network]\ndns = ["9.9.9.9", "dns.clinic"]', "network.dns[2]", ["not its name"]),
    ('[network]\ninterface = "eth0; reboot"\naddress = "dhcp"', "network.interface", ["a name of up to 15"]),
    ("[operator]", "operator", ["an empty table", "password-hash, ssh-keys or both"]),
    ('[operator]\npassword = "plainsecret"', "operator.password", ["plain words", "mkpasswd -m yescrypt"]),
    ('[operator]\npassword-hash = "plainsecret"', "operator.password-hash", ["plain password", "mkpasswd"]),
    ('[operator]\npassword-hash = ""', "operator.password-hash", ["$y$"]),
    (
        '[operator]\npassword-hash = "$6$salt$plainsecret"',
        "operator.password-hash",
        ["a broken SHA-512 hash"],
    ),
    (
        '[operator]\npassword-hash = "$y$j9T$salt$plainsecret"',
        "operator.password-hash",
        ["a broken yescrypt"],
    ),
    (
        '[operator]\npassword-hash = "$1$salt$plainsecret"',
        "operator.password-hash",
        ["a hash of another kind"],
    ),
    (f'[operator]\npassword-hash = "{SHA512}\\n"', "operator.password-hash", ["a broken SHA-512 hash"]),
    ('[operator]\nname = "anna"', "operator.name", ["does not know"]),
    ('[technician]\nssh-keys = ["ssh-ed25519 AAAA"]', "technician.ssh-keys[1]", ["cut short", ".pub"]),
    ('[technician]\nssh-keys = ["ssh-ed25519 %%%%"]', "technician.ssh-keys[1]", ["no base64"]),
    (f'[technician]\nssh-keys = ["{KEY}", 7]', "technician.ssh-keys[2]", ["a number"]),
    (f"[technician]\nssh-keys = ['command=\"sh\" {KEY}']", "technician.ssh-keys[1]", ["without options"]),
    (f'[technician]\nssh-keys = ["{KEY}\\n{KEY}"]', "technician.ssh-keys[1]", ["one line"]),
    (
        '[technician]\nssh-keys = ["""-----BEGIN OPENSSH PRIVATE KEY-----\nplainsecret"""]',
        "technician.ssh-keys[1]",
        ["a private key", "treat the private key as lost"],
    ),
    (
        f'[technician]\nssh-keys = ["{public_key("ssh-rsa", EXPONENT, WEAK)}"]',
        "technician.ssh-keys[1]",
        ["too short", "2048 bits", "ed25519"],
    ),
    (
        f'[technician]\nssh-keys = ["{public_key("ssh-rsa").replace("ssh-rsa", "ssh-ed25519")}"]',
        "technician.ssh-keys[1]",
        ["broken or cut short"],
    ),
    ("root = {}", "root", ["does not know"]),
    ("", "", ["nothing to set", "host-name"]),
    ('host-name = "a\n[wifi]\npsk = "plainsecret"', "", ["not TOML", "line 1"]),
    ('[wifi]\npsk = "plainsecret" "plainsecret"', "", ["not TOML", "line 2"]),
    ("plainsecret", "", ["not TOML"]),
    ("a = " + "[" * 5000, "", ["not TOML"]),
]


@pytest.mark.parametrize(("text", "key", "words"), REFUSED, ids=[each[0][:40] for each in REFUSED])
def test_refused(text, key, words):
    problems = parse(text, KNOWN)
    assert isinstance(problems, list)
    assert [each.key for each in problems] == [key]
    told = str(problems[0])
    for word in words:
        assert word in told, told
    assert "plainsecret" not in told


def test_everything_is_told_at_once():
    problems = parse(
        'host-name = "A B"\nkeyboard = "xx"\n[wifi]\nssid = 7\npsk = "x"\n[operator]\npassword = "y"', KNOWN
    )
    assert [each.key for each in problems] == [
        "host-name",
        "keyboard",
        "wifi.ssid",
        "wifi.psk",
        "operator.password",
    ]


def test_nothing_shows_a_secret_by_accident():
    shown = repr(parse(WHOLE, KNOWN))
    for secret in (PSK, YESCRYPT, SHA512):
        assert secret not in shown


def test_a_key_is_derived_as_the_standard_does():
    # IEEE 802.11-2020, annex J.4.2, test cases 1 and 2.
    assert wireless_key("password", "IEEE") == PSK
    assert (
        wireless_key("ThisIsAPassword", "ThisIsASSID")
        == "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af"
    )


# --- properties ---


def quoted(text: str) -> str:
    # A JSON string is a basic TOML string but for the one character that TOML wants escaped and JSON does not.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def written(it: Provision) -> str:
    """Write a provisioning as a person would."""
    top = {
        "host-name": it.host_name,
        "locale": it.locale,
        "time-zone": it.time_zone,
        "keyboard": it.keyboard,
    }
    lines = [f"{key} = {quoted(value)}" for key, value in top.items() if value]
    if it.wifi:
        lines += ["[wifi]", f"ssid = {quoted(it.wifi.ssid)}", f"psk = {quoted(it.wifi.psk)}"]
    if it.network:
        lines += ["[network]", f"interface = {quoted(it.network.interface)}"]
        lines += [f"address = {quoted(it.network.address or 'dhcp')}"]
        lines += [f"gateway = {quoted(it.network.gateway)}"] if it.network.gateway else []
        lines += [f"dns = [{', '.join(map(quoted, it.network.dns))}]"]
    for account in it.accounts:
        lines += [f"[{account.name}]", f"password-hash = {quoted(account.password_hash)}"]
        lines += [f"ssh-keys = [{', '.join(map(quoted, account.ssh_keys))}]"]
    return "\n".join(lines)


@given(provisions)
def test_what_is_written_is_what_is_read(provision):
    assert parse(written(provision), KNOWN) == provision


@given(st.text() | st.text("abc=\"[]\n#.-' 0x", max_size=80))
def test_any_text_is_answered(text):
    found = parse(text, KNOWN)
    assert isinstance(found, Provision) or found


tables = st.dictionaries(
    st.sampled_from(
        ["ssid", "psk", "password", "password-hash", "ssh-keys", "address", "gateway", "dns", "x"]
    ),
    st.sampled_from(['"hunter2hunter2"', '["hunter2hunter2"]', "1", "true", '""', "{}", "[1]"]),
)


@given(st.dictionaries(st.sampled_from(["wifi", "network", "operator", "technician"]), tables, min_size=1))
def test_no_table_raises_or_repeats_a_secret(document):
    text = "\n".join(
        line
        for name, table in document.items()
        for line in (f"[{name}]", *(f"{k} = {v}" for k, v in table.items()))
    )
    found = parse(text, KNOWN)
    if isinstance(found, list):
        secret = [each for each in found if not each.key.startswith("network") and each.key != "wifi.ssid"]
        assert "hunter2" not in " ".join(map(str, secret))


# --- the command line ---


def test_check_says_what_is_wrong_and_changes_nothing(tmp_path, capsys):
    file = tmp_path / "nixel.toml"
    file.write_text('keyboard = "xx"\nhost-name = "A"')
    assert main(["check", str(file)]) == 1
    told = capsys.readouterr().err
    assert told.splitlines()[0].startswith("host-name: ")
    assert told.splitlines()[1].startswith("keyboard: ")
    assert [each.name for each in tmp_path.iterdir()] == ["nixel.toml"]


def test_check_says_what_a_right_file_sets(tmp_path, capsys):
    file = tmp_path / "nixel.toml"
    file.write_text(WHOLE)
    assert main(["check", str(file), "--locale", "de_DE.UTF-8"]) == 0
    assert (
        "host-name, locale, time-zone, keyboard, wifi, network, operator, technician"
        in capsys.readouterr().out
    )


def test_a_missing_file_is_told(tmp_path, capsys):
    assert main(["check", str(tmp_path / "absent.toml")]) == 2
    assert "absent.toml" in capsys.readouterr().err


def test_hash_wifi_asks_for_the_passphrase(monkeypatch, capsys):
    monkeypatch.setattr("getpass.getpass", lambda prompt: "password")
    assert main(["hash-wifi", "IEEE"]) == 0
    assert capsys.readouterr().out == f'psk = "{PSK}"\n'
    monkeypatch.setattr("getpass.getpass", lambda prompt: "short")
    assert main(["hash-wifi", "IEEE"]) == 2
    assert "8 to 63" in capsys.readouterr().err
