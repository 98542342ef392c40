"""Small files of clinical formats, made in code by what their documents say."""

from __future__ import annotations

import base64
import binascii
import struct
from pathlib import Path

import numpy as np


def atc(path: Path, signal_mv: np.ndarray, rate: int, resolution_nv: int = 500) -> Path:
    """An ATC file of AliveCor (Alive File Format 1.6): blocks fmt and ecg with their sums."""

    def block(name: bytes, content: bytes) -> bytes:
        head = struct.pack("<4sI", name, len(content)) + content
        return head + struct.pack("<I", sum(head) % 2**32)

    counts = np.rint(signal_mv * 1e6 / resolution_nv).astype("<i2")
    form = struct.pack("<BHHBH", 1, rate, resolution_nv, 0, 0)
    path.write_bytes(b"ALIVE\0\0\0" + struct.pack("<I", 2) + block(b"fmt ", form) + block(b"ecg ", counts.tobytes()))
    return path


def muse(path: Path, signal_mv: np.ndarray, rate: int) -> Path:
    """A GE MUSE RestingECG of one lead: 16-bit samples in base64, 4.88 microvolts a unit."""
    counts = np.rint(signal_mv * 1000 / 4.88).astype("<i2")
    data = base64.b64encode(counts.tobytes()).decode()
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<RestingECG><MuseInfo><MuseVersion>9</MuseVersion></MuseInfo>'
        "<PatientDemographics><PatientID>1</PatientID></PatientDemographics>"
        f"<Waveform><WaveformType>Rhythm</WaveformType><SampleBase>{rate}</SampleBase>"
        f"<SampleExponent>0</SampleExponent>"
        f"<LeadData><LeadByteCountTotal>{2 * len(counts)}</LeadByteCountTotal><LeadSampleCountTotal>{len(counts)}"
        "</LeadSampleCountTotal><LeadAmplitudeUnitsPerBit>4.88</LeadAmplitudeUnitsPerBit><LeadAmplitudeUnits>MICROVOLTS"
        "</LeadAmplitudeUnits><LeadHighLimit>32767</LeadHighLimit><LeadLowLimit>-32768</LeadLowLimit>"
        "<LeadID>II</LeadID>"
        f"<LeadSampleSize>2</LeadSampleSize><WaveFormData>{data}</WaveFormData></LeadData></Waveform></RestingECG>\n"
    )
    return path


def aecg(path: Path, signal_mv: np.ndarray, rate: int) -> Path:
    """An HL7 annotated ECG (urn:hl7-org:v3) of one lead, in microvolts."""
    digits = " ".join(str(int(v)) for v in np.rint(signal_mv * 1000))
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><id root="1"/><effectiveTime>'
        '<low value="20200101000000"/>'
        '</effectiveTime><component><series><code code="RHYTHM" codeSystem="2.16.840.1.113883.5.4"/><component>'
        '<sequenceSet><component><sequence><code code="TIME_ABSOLUTE" codeSystem="2.16.840.1.113883.5.4"/>'
        f'<value xsi:type="GLIST_TS"><head value="20200101000000"/><increment value="{1 / rate}" unit="s"/></value>'
        '</sequence></component><component><sequence><code code="MDC_ECG_LEAD_II" codeSystem="2.16.840.1.113883.6.24"/>'
        f'<value xsi:type="SLIST_PQ"><origin value="0" unit="uV"/><scale value="1" unit="uV"/><digits>{digits}</digits>'
        "</value></sequence></component></sequenceSet></component></series></component></AnnotatedECG>\n"
    )
    return path


def ishne(path: Path, signal_mv: np.ndarray, rate: int) -> Path:
    """An ISHNE Holter file of one lead, 1,000 nV a unit (Badilini, Ann. Noninvasive Electrocardiol. 3:263, 1998)."""
    counts = np.rint(signal_mv * 1000).astype("<i2")
    head = struct.pack("<iiiih", 0, len(counts), 522, 522, 1)
    head += b"A".ljust(40, b"\0") + b"B".ljust(40, b"\0") + b"1".ljust(20, b"\0") + struct.pack("<hh", 1, 1)
    head += struct.pack("<hhh", 1, 1, 1970) + struct.pack("<hhh", 1, 1, 2020) + struct.pack("<hhh", 1, 1, 2020)
    head += struct.pack("<hhh", 0, 0, 0) + struct.pack("<h", 1)
    head += struct.pack("<12h", 6, *[-9] * 11) + struct.pack("<12h", 1, *[-9] * 11)
    head += struct.pack("<12h", 1000, *[-9] * 11) + struct.pack("<h", 0) + b"recorder".ljust(40, b"\0")
    head += struct.pack("<h", rate) + b"".ljust(80, b"\0") + b"".ljust(80, b"\0") + b"".ljust(88, b"\0")
    head = head.ljust(512, b"\0")[:512]
    crc = 0xFFFF  # CRC-CCITT over the header blocks
    for byte in head:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1 & 0xFFFF
    path.write_bytes(b"ISHNE1.0" + struct.pack("<H", crc) + head + counts.tobytes())
    return path


def scp(path: Path, signal_mv: np.ndarray, rate: int) -> Path:
    """An SCP-ECG record of lead II: sections 0, 1, 3 and 6 (EN 1064), first differences, 2,500 nV a unit."""
    counts = np.rint(signal_mv * 1e6 / 2500).astype("<i2")
    data = np.diff(counts, prepend=0).astype("<i2").tobytes()
    bodies = {
        1: b"".join(struct.pack("<BH", tag, len(value)) + value for tag, value in ((2, b"1\0"), (25, b"\xe4\x07\1\1"),
                                                                                (26, b"\0\0\0"))) + b"\xff\0\0",
        3: struct.pack("<BBIIB", 1, 0x0C, 1, len(counts), 2),  # all leads at once, one of them; code 2: lead II
        6: struct.pack("<HHBBH", 2500, 1_000_000 // rate, 1, 0, len(data)) + data,
    }  # fmt: skip

    def section(number: int, body: bytes) -> bytes:
        body += b"\0" * (len(body) % 2)
        rest = struct.pack("<HIBB", number, 16 + len(body), 20, 20) + (b"SCPECG" if number == 0 else bytes(6)) + body
        return struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest

    sections = {number: section(number, body) for number, body in bodies.items()}
    at, pointers = 6 + 16 + 10 * 12, [struct.pack("<HII", 0, 16 + 10 * 12, 7)]
    for number in range(1, 12):
        size = len(sections.get(number, b""))
        pointers.append(struct.pack("<HII", number, size, at + 1 if size else 0))
        at += size
    whole = section(0, b"".join(pointers)) + b"".join(sections.values())
    whole = struct.pack("<I", 6 + len(whole)) + whole
    path.write_bytes(struct.pack("<H", binascii.crc_hqx(whole, 0xFFFF)) + whole)
    return path


def dicom(path: Path, signal_mv: np.ndarray, rate: int) -> Path:
    """A DICOM general ECG waveform of lead II, 16 bits, 2.5 microvolts a unit (PS3.3, C.10.9)."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    def code(value: str, scheme: str, meaning: str) -> list[Dataset]:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        return [item]

    channel, group, whole = Dataset(), Dataset(), Dataset()
    channel.ChannelSourceSequence = code("2:2", "MDC", "Lead II")
    channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor, channel.ChannelBaseline = "2.5", "1", "0"
    channel.ChannelSensitivityUnitsSequence = code("uV", "UCUM", "microvolt")
    channel.WaveformBitsStored = 16
    counts = np.rint(signal_mv * 1000 / 2.5).astype("<i2")
    group.MultiplexGroupLabel, group.WaveformOriginality = "RHYTHM", "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = 1, len(counts)
    group.SamplingFrequency, group.ChannelDefinitionSequence = str(rate), [channel]
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.add_new(0x54001010, "OW", counts.tobytes())
    whole.SOPClassUID, whole.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.9.1.2", generate_uid(entropy_srcs=["ecg-alq"])
    whole.Modality, whole.PatientID, whole.WaveformSequence = "ECG", "1", [group]
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID
    whole.save_as(path, enforce_file_format=True)
    return path


def philips(path: Path, signal_mv: np.ndarray, rate: int) -> Path:
    """A Philips SierraECG 1.04 file of the six limb leads, lead II the second, base64, 5 microvolts a unit."""
    counts = np.rint(signal_mv * 1000 / 5).astype("<i2")
    leads = [counts // 2, counts, counts - counts // 2, -counts // 2, counts // 4, counts // 2]
    data = base64.b64encode(np.concatenate(leads).astype("<i2").tobytes()).decode()
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<restingecgdata xmlns="http://www3.medical.philips.com"><documentinfo>'
        "<documenttype>SierraECG</documenttype><documentversion>1.04</documentversion></documentinfo>"
        '<dataacquisition date="2020-01-01" time="00:00:00"><signalcharacteristics><samplingrate>'
        f"{rate}</samplingrate><resolution>5</resolution><signaloffset>0</signaloffset><signalsigned>True"
        "</signalsigned><numberchannelsallocated>6</numberchannelsallocated><numberchannelsvalid>6"
        "</numberchannelsvalid><electrodeplacement>Standard</electrodeplacement></signalcharacteristics>"
        '</dataacquisition><waveforms><parsedwaveforms dataencoding="Base64" compression="Uncompressed" '
        f'numberofleads="6" leadlabels="I II III aVR aVL aVF" samplespersecond="{rate}" resolution="5" '
        f'durationperchannel="{1000 * len(counts) // rate}">{data}</parsedwaveforms></waveforms></restingecgdata>\n'
    )
    return path
