"""Workbooks of XLSX and ODS, written without a library that reads them."""

import io
import zipfile

XLSX_TYPES = "<Types xmlns='http://schemas.openxmlformats.org/package/2006/content-types'/>"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def archive(**members):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return sink.getvalue()


def xlsx(**sheets):
    """Return a workbook of sheets, each a list of rows of text, numbers and booleans."""
    listed = links = ""
    members = {"[Content_Types].xml": XLSX_TYPES}
    for number, (name, rows) in enumerate(sheets.items(), start=1):
        listed += f"<sheet name='{name}' sheetId='{number}' r:id='r{number}'/>"
        links += (
            f"<Relationship Id='r{number}' Type='{RELATIONS}/worksheet'"
            f" Target='worksheets/sheet{number}.xml'/>"
        )
        members[f"xl/worksheets/sheet{number}.xml"] = sheet_xml(rows)
    members["xl/workbook.xml"] = (
        f"<workbook xmlns='{MAIN}' xmlns:r='{RELATIONS}'><sheets>{listed}</sheets></workbook>"
    )
    members["xl/_rels/workbook.xml.rels"] = (
        f"<Relationships xmlns='{PACKAGE}'>{links}</Relationships>"
    )
    members["_rels/.rels"] = (
        f"<Relationships xmlns='{PACKAGE}'><Relationship Id='a'"
        f" Type='{RELATIONS}/officeDocument' Target='xl/workbook.xml'/></Relationships>"
    )
    return archive(**members)


def sheet_xml(rows):
    text = ""
    for number, row in enumerate(rows, start=1):
        cells = ""
        for column, cell in enumerate(row):
            place = f"{chr(65 + column)}{number}"
            if isinstance(cell, bool):
                cells += f'<c r="{place}" t="b"><v>{int(cell)}</v></c>'
            elif isinstance(cell, str):
                cells += (
                    f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{cell}</t></is></c>'
                )
            elif cell is not None:
                cells += f'<c r="{place}"><v>{cell}</v></c>'
        text += f'<row r="{number}">{cells}</row>'
    return f"<worksheet xmlns='{MAIN}'><sheetData>{text}</sheetData></worksheet>"


def ods(rows):
    office = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
    table = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
    words = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
    text = ""
    for row in rows:
        text += "<table:table-row>"
        for cell in row:
            text += (
                '<table:table-cell office:value-type="string">'
                f"<text:p>{cell}</text:p></table:table-cell>"
            )
        text += "</table:table-row>"
    content = (
        f"<office:document-content xmlns:office='{office}' xmlns:table='{table}'"
        f" xmlns:text='{words}'><office:body><office:spreadsheet><table:table table:name='S'>{text}"
        "</table:table></office:spreadsheet></office:body></office:document-content>"
    )
    manifest = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
    return archive(
        **{
            "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
            "content.xml": content,
            "META-INF/manifest.xml": f"<manifest:manifest xmlns:manifest='{manifest}'/>",
        }
    )
