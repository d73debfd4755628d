#!/usr/bin/env python3
"""Writes telegraf/sample.influx: four hours of four PCs, as Telegraf would send them.

Regenerate it from the top of the repository:

    python3 telegraf/sample.py > telegraf/sample.influx

The output depends on nothing but this file: the same bytes on every machine.

Poll every 60 s from 2026-10-24 22:30:00 UTC until 02:30:00 UTC. In most of Europe the
clocks go back at 01:00 UTC that night, so the local hour from 02:00 comes twice.

PC-AMD-01     Windows + HWiNFO. Hot, hungry and throttled from 00:00 to 01:00 UTC.
PC-INTEL-02   Laptop, Windows + HWiNFO. "CPU Package" exists twice. Asleep from 23:55 to
              01:05 UTC. Somebody renamed a reading: readingName is not readingNameOrig.
linux-03      inputs.cpu, temp, mem, intel_powerstat, system, with fields in random order.
              What it measured from 23:40 to 23:51 UTC arrives at 00:05.
pc-iot-04     A collector written by hand, several fields a line.

Around the readings that count there are others that must not: "Total CPU Utility" above
100, single threads and cores, distances to a limit, limits in watts, the mainboard's
sensor "CPU". Real HWiNFO sends some 250 readings a poll; the ones that only stand by are
kept on every tenth poll, to keep the file small.
"""

import random
import sys

SECOND = 1_000_000_000
START = 1_792_881_000  # 2026-10-24 22:30:00 UTC
POLLS = 240
POLL_SECONDS = 60

dice = random.Random(20261025)


def seconds(hour, minute):
    """Seconds after START of a UTC time of that night."""
    since_midnight = (hour * 60 + minute) * 60
    return (since_midnight - (22 * 60 + 30) * 60) % 86_400


HOT = range(seconds(0, 0), seconds(1, 0))
ASLEEP = range(seconds(23, 55), seconds(1, 5))
OFFLINE = range(seconds(23, 40), seconds(23, 52))
ONLINE_AGAIN = seconds(0, 5)

lines = []  # (arrival in ns after START, line)


# ------------------------------------------------------------------ line protocol


def number(value):
    """A number as Telegraf writes it: shortest form, no exponent, no '.0'."""
    if isinstance(value, int):
        return f"{value}i"
    text = repr(value)
    assert "e" not in text, text
    return text[:-2] if text.endswith(".0") else text


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def escaped(name):
    return name.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")


def send(measurement, tags, fields, at, arrival=None):
    """Adds one line. `at` is in ns after START, and so is `arrival`, by default the same."""
    head = "".join(f",{escaped(k)}={escaped(v)}" for k, v in sorted(tags.items()) if v)
    body = ",".join(
        f"{escaped(k)}={quoted(v) if isinstance(v, str) else number(v)}" for k, v in fields
    )
    stamp = START * SECOND + at
    lines.append((at if arrival is None else arrival, f"{measurement}{head} {body} {stamp}\n"))


def shuffled(fields):
    """Telegraf keeps fields in a map, so their order differs from line to line."""
    return [field for _, field in sorted((dice.random(), field) for field in fields)]


def about(middle, spread):
    return middle + (dice.random() + dice.random() - 1) * spread


def wave(at, minutes, phase=0.0):
    """-1 to 1 and back in straight lines, so that hours differ from each other."""
    turn = (at / (minutes * 60) + phase) % 1.0
    return 1 - 4 * abs(turn - 0.5)


def tidy(value, digits):
    return round(value, digits)


# ------------------------------------------------------------------------- HWiNFO


class HwinfoPoll:
    """The readings of one poll. Each has a timestamp of its own, in steps of 100 ns."""

    def __init__(self, host, at):
        self.host = host
        self.at = at

    def reading(self, sensor, name, unit, field, reading_id, value, renamed=None):
        kind, sensor_id, sensor_name = sensor
        self.at += (1 + int(dice.random() * 9)) * 524_300
        tags = {
            "host": self.host,
            "hwinfoVersion": "8.02-5440",
            "pluginVersion": "unknown",
            "readingId": str(reading_id),
            "readingName": renamed or name,
            "readingNameOrig": name,
            "sensorId": str(sensor_id),
            "sensorInst": "0",
            "sensorName": sensor_name,
            "sensorNameOrig": sensor_name,
            "sensorType": kind,
            "shmemVersion": "v2 rev0",
            "unit": unit,
        }
        send("hwinfo", tags, [(field, value)], self.at)


TEMP, POWER, USAGE, OTHER = 1 << 24, 5 << 24, 7 << 24, 8 << 24

AMD_CPU = ("cpu", 402653260800, "CPU [#0]: AMD Ryzen 9 5950X")
AMD_ENHANCED = ("cpu", 402653312100, "CPU [#0]: AMD Ryzen 9 5950X: Enhanced")
AMD_GPU = ("gpu", 375810457600, "GPU [#0]: NVIDIA GeForce RTX 2060: ")
BOARD = ("unknown", 414399859900, "MSI MPG B550I GAMING EDGE WIFI (MS-7C92) (Nuvoton NCT6687D)")
WHEA = ("unknown", 402653558400, "Windows Hardware Errors (WHEA)")

INTEL_CPU = ("cpu", 402653260800, "CPU [#0]: Intel Core i9-12900H")
INTEL_DTS = ("cpu", 402653286400, "CPU [#0]: Intel Core i9-12900H: DTS")
INTEL_ENHANCED = ("cpu", 402653286500, "CPU [#0]: Intel Core i9-12900H: Enhanced")


def amd_desktop(poll, at):
    hot = at in HOT
    usage = tidy(about(93, 6) if hot else about(24 + 14 * wave(at, 47), 12), 1)
    heat = about(86.5, 4) if hot else about(54 + 7 * wave(at, 47), 5)
    heat = round(heat * 8) / 8
    watts = about(129, 12) if hot else about(62 + 16 * wave(at, 47), 8)

    to = HwinfoPoll("PC-AMD-01", at * SECOND + 17_412_306_400 + int(dice.random() * 40) * 100_000)
    if poll % 10 == 0:
        to.reading(AMD_CPU, "Core 0 T0 Usage", "%", "usage", USAGE, tidy(min(about(usage, 10), 100.0), 1))
        to.reading(AMD_CPU, "Max CPU/Thread Usage", "%", "usage", USAGE + 12, 100.0)
    to.reading(AMD_CPU, "Total CPU Usage", "%", "usage", USAGE + 13, usage)
    if poll % 10 == 0:
        utility = usage * 1.19 + 0.7 if hot else usage * 1.08
        to.reading(AMD_CPU, "Total CPU Utility", "%", "usage", USAGE + 60, tidy(utility, 2))
    to.reading(AMD_ENHANCED, "CPU (Tctl/Tdie)", "°C", "temp", TEMP, heat)
    to.reading(AMD_ENHANCED, "CPU Package Power", "W", "power", POWER, tidy(watts, 14))
    to.reading(AMD_ENHANCED, "CPU PPT", "W", "power", POWER + 20, tidy(watts + 1.7, 12))
    throttled = 1.0 if heat >= 89 else 0.0
    to.reading(AMD_ENHANCED, "Thermal Throttling (HTC)", "Yes/No", "other", OTHER, throttled)
    to.reading(BOARD, "CPU", "°C", "temp", TEMP, float(round(heat + 6)))
    to.reading(AMD_GPU, "GPU Temperature", "°C", "temp", TEMP, about(71, 2) // 0.25 / 4 if hot else 34.5)
    if poll % 10 == 0:
        to.reading(AMD_GPU, "GPU Power", "W", "power", POWER, tidy(about(151, 9) if hot else 15.418, 3))
        # HWiNFO has no unit for a plain number, and Telegraf drops a tag without a value.
        to.reading(WHEA, "Total Errors", "", "other", OTHER, 0.0)


def intel_laptop(poll, at):
    if at in ASLEEP:
        return
    awake_for = (at - ASLEEP.stop) // POLL_SECONDS
    usage = tidy(about(17 + 9 * wave(at, 61, 0.2), 8), 1)
    heat = round(about(63 + 5 * wave(at, 61, 0.2), 6))
    watts = about(19 + 6 * wave(at, 61, 0.2), 6)
    throttled = 0 <= awake_for < 3
    core_max = 100.0 if throttled else float(heat + round(about(4, 3)))

    to = HwinfoPoll("PC-INTEL-02", at * SECOND + 21_250_118_700 + int(dice.random() * 40) * 100_000)
    to.reading(INTEL_CPU, "Total CPU Usage", "%", "usage", USAGE + 21, usage, renamed="CPU gesamt")
    if poll % 10 == 0:
        to.reading(INTEL_CPU, "Total CPU Utility", "%", "usage", USAGE + 44, tidy(usage * 1.12, 1))
        to.reading(INTEL_DTS, "Core Temperatures (avg)", "°C", "temp", TEMP, float(heat - 5))
        to.reading(INTEL_DTS, "Core Distance to TjMAX (avg)", "°C", "temp", TEMP + 15, float(105 - heat))
    to.reading(INTEL_DTS, "CPU Package", "°C", "temp", TEMP + 30, float(heat - round(about(2, 2))))
    to.reading(INTEL_DTS, "Core Max", "°C", "temp", TEMP + 31, core_max)
    flag = 1.0 if throttled else 0.0
    to.reading(INTEL_DTS, "Package/Ring Thermal Throttling", "Yes/No", "other", OTHER + 45, flag)
    to.reading(INTEL_ENHANCED, "CPU Package", "°C", "temp", TEMP, float(heat))
    to.reading(INTEL_ENHANCED, "CPU Package Power", "W", "power", POWER, tidy(watts, 13))
    if poll % 10 == 0:
        to.reading(INTEL_ENHANCED, "Total System Power", "W", "power", POWER + 3, tidy(watts * 2.1, 13))
        to.reading(INTEL_ENHANCED, "PL1 Power Limit (Static)", "W", "power", POWER + 7, 115.0)


# ------------------------------------------------------------- Linux and by hand


def cpu_fields(busy):
    user = busy * about(0.66, 0.1)
    soft = busy * 0.02
    iowait = about(0.4, 0.3)
    return shuffled([
        ("usage_guest", 0.0),
        ("usage_guest_nice", 0.0),
        ("usage_idle", tidy(100 - busy, 13)),
        ("usage_iowait", tidy(iowait, 15)),
        ("usage_irq", 0.0),
        ("usage_nice", 0.0),
        ("usage_softirq", tidy(soft, 15)),
        ("usage_steal", 0.0),
        ("usage_system", tidy(busy - user - soft - iowait, 14)),
        ("usage_user", tidy(user, 14)),
    ])


def linux_box(poll, at):
    host = {"host": "linux-03"}
    now = at * SECOND  # Telegraf rounds the time of a polled input to the second
    arrival = ONLINE_AGAIN * SECOND + poll if at in OFFLINE else now
    busy = about(31 + 17 * wave(at, 83, 0.3), 9)
    heat = about(49 + 6 * wave(at, 83, 0.3), 3)

    if poll > 0:  # usage needs two samples, so the first poll has none,
        send("cpu", host | {"cpu": "cpu-total"}, cpu_fields(busy), now, arrival)
        if poll % 5 == 0:  # cores have lines of their own, when percpu is on
            send("cpu", host | {"cpu": "cpu0"}, cpu_fields(about(busy, 8)), now, arrival)
    for sensor, value in [
        ("coretemp_package_id_0", float(round(heat))),
        ("coretemp_core_0", float(round(heat) - 2)),
        ("nvme_composite", 41.85 if poll % 3 else 42.85),
    ]:
        send("temp", host | {"sensor": sensor}, [("temp", value)], now, arrival)
    package = host | {"package_id": "0"}
    send("powerstat_package", package, [("thermal_design_power_watts", 65.0)], now, arrival)
    if poll > 0:  # and so does power
        drawn = tidy(9 + busy * 0.62, 2)
        send("powerstat_package", package, [("current_power_consumption_watts", drawn)], now, arrival)
    total = 33_440_751_616
    used = round(total * (0.37 + 0.04 * wave(at, 120)))
    send("mem", host, shuffled([
        ("total", total),
        ("used", used),
        ("available", total - used),
        ("available_percent", tidy(100 - 100 * used / total, 14)),
        ("used_percent", tidy(100 * used / total, 14)),
    ]), now, arrival)
    if poll % 30 == 0:
        up = 14 * 1440 + 11 * 60 + 7 + poll
        text = f"{up // 1440} days, {up // 60 % 24:2}:{up % 60:02}"
        send("system", host, [("uptime_format", text)], now, arrival)


def hand_written(poll, at):
    now = at * SECOND + 4_000_000_000
    # Two of its lines are held back for 40 minutes.
    arrival = now + 2_400 * SECOND if poll in (100, 101) else now
    host = {"host": "pc-iot-04"}
    send("system_metrics", host, [
        ("cpu_usage", tidy(about(25 + 11 * wave(at, 70, 0.6), 8), 1)),
        ("mem_usage", tidy(about(60, 2), 1)),
    ], now, arrival)
    send("hwinfo_metrics", host, [
        ("cpu_temp", tidy(about(55 + 8 * wave(at, 70, 0.6), 3), 1)),
        ("fan_speed", float(round(about(1200, 60)))),
        ("power", tidy(about(44 + 9 * wave(at, 70, 0.6), 4), 1)),
    ], now, arrival)


def event(at):
    """A log entry of two lines. The second looks like a metric and is none."""
    send("win_eventlog", {
        "Channel": "System",
        "EventID": "37",
        "LevelText": "Warning",
        "Source": "Microsoft-Windows-Kernel-Processor-Power",
        "host": "PC-AMD-01",
    }, [
        ("Message", "The speed of processor 3, group 0, is limited by firmware.\n"
                    "cpu,cpu=cpu-total,host=PC-AMD-01 usage_idle=0 1792886400000000000"),
        ("UserName", "NT AUTHORITY\\SYSTEM"),
    ], at * SECOND)


# ------------------------------------------------------------------------- output


def main():
    for poll in range(POLLS):
        at = poll * POLL_SECONDS
        amd_desktop(poll, at)
        intel_laptop(poll, at)
        linux_box(poll, at)
        hand_written(poll, at)
    event(seconds(0, 12) + 31)

    lines.sort(key=lambda line: line[0])
    text = [line for _, line in lines]

    # Some lines come twice: right after themselves, or some minutes later.
    for i in reversed(range(600, len(text) - 90, 700)):
        text.insert(i + (1 if i % 1400 == 600 else 90), text[i])

    sys.stdout.buffer.write("".join(text).encode("utf-8"))


if __name__ == "__main__":
    main()
