# ruff: noqa: E501, RUF001 (messages in other alphabets)
"""System messages in other languages → the English wording that the signatures know.

Only what the C library, the shell and the Windows loader say themselves is translated by a locale;
Python, CUDA and the packages write English everywhere. Source: the message catalogues of glibc,
bash and Windows. Beside them stand the few phrases in which people say the same.
"""

from __future__ import annotations

_WORDINGS = {
    "No such file or directory": (
        "Datei oder Verzeichnis nicht gefunden", "Aucun fichier ou dossier de ce type",
        "Aucun fichier ou dossier de ce nom", "No existe el archivo o el directorio",
        "No existe el fichero o el directorio", "File o directory non esistente",
        "Arquivo ou diretório inexistente", "Arquivo ou diretório não encontrado",
        "Нет такого файла или каталога", "没有那个文件或目录", "沒有此一檔案或目錄",
        "そのようなファイルやディレクトリはありません", "그런 파일이나 디렉터리가 없습니다",
    ),
    "No space left on device": (
        "Auf dem Gerät ist kein Speicherplatz mehr verfügbar", "No queda espacio en el dispositivo",
        "Aucun espace disponible sur le périphérique", "Spazio esaurito sul device",
        "Não há espaço disponível no dispositivo", "На устройстве не осталось свободного места",
        "На устройстве кончилось место", "设备上没有空间", "裝置上沒有空間",
        "デバイスに空き領域がありません", "장치에 남은 공간이 없음",
    ),
    "cannot open shared object file": (
        "Kann die Shared-Object-Datei nicht öffnen", "ne peut ouvrir le fichier d'objet partagé",
        "Ne peut ouvrir le fichier d'objet partagé",
        "no se puede abrir el archivo del objeto compartido",
        "no se puede abrir el fichero del objeto compartido",
        "não foi possível abrir arquivo compartilhado",
        "невозможно открыть разделяемый объектный файл", "无法打开共享对象文件",
        "无法打开共享目标文件", "共有オブジェクトファイルを開けません",
    ),
    "undefined symbol": (
        "undefiniertes Symbol", "symbole non défini", "símbolo indefinido", "неопределённый символ",
        "未定义符号", "未定义的符号",
    ),
    "command not found": (
        "Kommando nicht gefunden", "Befehl nicht gefunden", "commande introuvable",
        "orden no encontrada", "no se encontró la orden", "comando non trovato",
        "comando não encontrado", "команда не найдена", "未找到命令", "找不到命令",
        "コマンドが見つかりません", "명령어를 찾을 수 없음",
    ),
    "Cannot allocate memory": (
        "Nicht genügend Hauptspeicher verfügbar", "Ne peut allouer de la mémoire",
        "No se pudo asignar memoria", "Impossibile allocare memoria",
        "Não foi possível alocar memória", "Невозможно выделить память", "无法分配内存", "無法配置記憶體",
        "メモリを確保できません",
    ),
    "Killed": ("Getötet", "Processus arrêté", "Terminado (killed)", "Убито", "已杀死", "已砍掉",
               "強制終了"),
    "Bus error": ("Bus-Zugriffsfehler", "Erreur de bus", "Error del bus", "Ошибка шины", "总线错误"),
    "Segmentation fault": ("Speicherzugriffsfehler", "Erreur de segmentation",
                           "Violación de segmento", "Ошибка сегментирования", "段错误", "段錯誤"),
    "The specified module could not be found": (
        "Das angegebene Modul wurde nicht gefunden", "Le module spécifié est introuvable",
        "No se puede encontrar el módulo especificado", "Не найден указанный модуль",
        "找不到指定的模块", "找不到指定的模組", "指定されたモジュールが見つかりません",
    ),
    "There is not enough space on the disk": (
        "Es steht nicht genug Speicherplatz auf dem Datenträger zur Verfügung",
        "Espacio en disco insuficiente", "Espace insuffisant sur le disque",
        "Недостаточно места на диске", "磁盘空间不足", "磁碟空間不足",
    ),
    "The paging file is too small": (
        "Die Auslagerungsdatei ist zu klein", "El archivo de paginación es demasiado pequeño",
        "Le fichier de pagination est insuffisant", "页面文件太小", "Файл подкачки слишком мал",
    ),
}  # fmt: skip

# What people themselves write of it: the words that the signatures of prose look for.
_PROSE = {
    " not enough gpu memory ": ("显存不足", "爆显存", "显存溢出", "显存不够", "显存爆", "爆了显存"),
    " gpu memory used by another process ": ("显存被占用", "显存被其他进程占用"),
    " not enough ram ": ("内存不足", "内存溢出", "内存不够", "爆内存", "记忆体不足", "메모리 부족",
                         "メモリ不足", "не хватает оперативной памяти"),
    " the process was killed ": ("被杀死", "被kill", "被系统杀"),
    " timeout ": ("超时", "逾時", "タイムアウト", "시간 초과"),
    " hangs ": ("卡住", "卡死", "一直卡", "フリーズ"),
    " version mismatch ": ("版本不匹配", "版本不一致", "版本不兼容", "版本冲突", "版本不对应",
                           "版本不符", "バージョンが合わ"),
    " is incompatible ": ("不兼容", "互換性がない", "호환되지"),
    " driver is too old ": ("驱动版本过低", "驱动版本太低", "驱动太旧", "驱动过旧", "驱动版本太旧",
                            "ドライバが古"),
    " nvidia driver ": ("显卡驱动", "英伟达驱动", "Grafiktreiber", "драйвер nvidia", "драйвер NVIDIA"),
    " is not installed ": ("没有安装", "未安装", "没安装", "インストールされていません"),
    " disk is full ": ("磁盘满", "硬盘满", "磁盘已满", "硬盘空间不足"),
    " cannot connect to ": ("连不上", "无法连接", "连接不上", "接続できません", "연결할 수 없"),
    " cannot access ": ("无法访问", "访问不了", "アクセスできません"),
    " is not available ": ("不可用", "用不了", "无法使用", "nicht verfügbar", "no disponible",
                           "no está disponible", "n'est pas disponible", "não disponível",
                           "недоступн", "利用できません", "사용할 수 없"),
    " not detected ": ("检测不到", "识别不到", "识别不了", "没有识别", "未检测到", "wird nicht erkannt",
                       "nicht erkannt", "no detecta", "no reconoce", "non détecté", "n'est pas détecté",
                       "não detecta", "не видит", "не обнаруж", "認識されません", "認識しません",
                       "인식하지 못", "인식되지"),
    " is not supported ": ("不支持", "不支援", "wird nicht unterstützt", "no es compatible",
                           "no soporta", "не поддерживает", "サポートされていません", "지원하지 않"),
    " gpu memory is not released after ": ("显存没有释放", "显存未释放", "显存不释放", "显存没释放"),
    " too small ": ("太小", "过小"),
    " shared memory ": ("共享内存", "共有メモリ"),
    " permission denied ": ("没有权限", "权限不足", "权限不够", "keine Berechtigung", "нет прав"),
    " the graphics card ": ("显卡", "Grafikkarte", "tarjeta gráfica", "carte graphique", "видеокарт",
                            "グラフィックボード", "그래픽 카드"),
    " vpn ": ("翻墙", "科学上网", "梯子"),
    " solved ": ("解决了", "就好了", "就可以了", "解决问题", "已解决", "解决", "解決しました", "해결"),
    " downgrade ": ("降级", "降低版本", "ダウングレード"),
    " upgrade ": ("升级", "更新到", "アップグレード"),
    " reinstall ": ("重装", "重新安装", "再インストール"),
    " preprocessing ": ("预处理",),
    " two gpus ": ("双卡",),
    " multiple gpus ": ("单机多卡", "多卡"),
    " single gpu ": ("单机单卡", "单卡"),
    " works ": ("能跑", "可以跑", "跑得通"),
    " reboot ": ("重启", "再起動", "перезагрузк"),
}  # fmt: skip

_ENGLISH = {wording: english for english, wordings in _WORDINGS.items() for wording in wordings}
_ENGLISH.update({wording: english for english, wordings in _PROSE.items() for wording in wordings})
_ASCII = {wording: english for wording, english in _ENGLISH.items() if wording.isascii()}


def in_english(text: str) -> str:
    """Return the text with the known system messages in English; all else stays as it is."""
    for wording, english in (_ASCII if text.isascii() else _ENGLISH).items():
        if wording in text:
            text = text.replace(wording, english)
    return text
