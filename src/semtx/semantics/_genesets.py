"""Gene sets to judge gene vectors by: well-known families and functions, curated by hand, human symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

FAMILIES = {
    "ribosome": "RPL3 RPL4 RPL5 RPL7 RPL8 RPL11 RPL13 RPL18 RPL23 RPL32 RPL37A RPLP0 RPS2 RPS3 RPS6 RPS8 RPS12 RPS14 RPS19 RPS27",
    "mitochondrial genome": "MT-ND1 MT-ND2 MT-ND3 MT-ND4 MT-ND4L MT-ND5 MT-ND6 MT-CO1 MT-CO2 MT-CO3 MT-ATP6 MT-ATP8 MT-CYB",
    "MHC class I": "HLA-A HLA-B HLA-C HLA-E HLA-F HLA-G B2M TAP1 TAP2 TAPBP",
    "MHC class II": "HLA-DRA HLA-DRB1 HLA-DRB5 HLA-DPA1 HLA-DPB1 HLA-DQA1 HLA-DQB1 HLA-DMA HLA-DMB HLA-DOA HLA-DOB CD74 CIITA",
    "collagens": "COL1A1 COL1A2 COL2A1 COL3A1 COL4A1 COL4A2 COL5A1 COL5A2 COL6A1 COL6A2 COL6A3 COL11A1 COL12A1 COL14A1 COL18A1",
    "keratins": "KRT1 KRT4 KRT5 KRT6A KRT7 KRT8 KRT10 KRT13 KRT14 KRT15 KRT16 KRT17 KRT18 KRT19 KRT20",
    "immunoglobulins": "IGHG1 IGHG2 IGHG3 IGHG4 IGHA1 IGHA2 IGHM IGHD IGHE IGKC IGLC1 IGLC2 IGLC3 JCHAIN",
    "haemoglobins": "HBA1 HBA2 HBB HBD HBE1 HBG1 HBG2 HBM HBQ1 HBZ",
    "interleukins": "IL1A IL1B IL2 IL4 IL5 IL6 IL7 IL10 IL12A IL12B IL13 IL15 IL17A IL18 IL21 IL33",
    "chemokines": "CCL2 CCL3 CCL4 CCL5 CCL7 CCL8 CCL17 CCL19 CCL21 CCL22 CXCL1 CXCL2 CXCL5 CXCL8 CXCL9 CXCL10 CXCL12 CXCL13",
    "histones": "H1-0 H1-2 H1-4 H2AC6 H2AC8 H2AZ1 H2BC4 H2BC5 H2BC12 H3C2 H3-3A H3-3B H4C3 H4C4",
    "proteasome": "PSMA1 PSMA2 PSMA3 PSMA4 PSMA5 PSMA6 PSMA7 PSMB1 PSMB2 PSMB3 PSMB4 PSMB5 PSMB6 PSMB7 PSMC1 PSMC2 PSMD1 PSMD2",
    "metallothioneins": "MT1A MT1B MT1E MT1F MT1G MT1H MT1M MT1X MT2A MT3 MT4",
    "NADH dehydrogenase": "NDUFA1 NDUFA2 NDUFA4 NDUFA8 NDUFA9 NDUFB1 NDUFB3 NDUFB5 NDUFB8 NDUFB10 NDUFC1 NDUFS1 NDUFS2 NDUFS3 NDUFV1 NDUFV2",
    "olfactory receptors": "OR1A1 OR1A2 OR2W3 OR4F5 OR5A1 OR6C2 OR7A5 OR8D1 OR10A2 OR51E1 OR51E2 OR52N4",
}
FUNCTIONS = {
    "myelin": "MBP PLP1 MOG MAG MOBP CNP OPALIN ERMN MAL MYRF CLDN11 UGT8 GJC2 PMP22",
    "synaptic vesicle": "SYP SYT1 SYT4 SNAP25 VAMP1 VAMP2 STX1A STXBP1 SYN1 SYN2 SV2A SV2B RAB3A CPLX1 CPLX2",
    "glutamate and GABA receptors": "GRIA1 GRIA2 GRIA3 GRIA4 GRIN1 GRIN2A GRIN2B GRIK1 GRIK2 GRM1 GRM5 GABRA1 GABRA2 GABRB2 GABRG2",
    "T cell receptor": "CD3D CD3E CD3G CD247 CD4 CD8A CD8B LCK ZAP70 LAT ITK CD2 CD28 TRAC TRBC1 TRBC2",
    "B cell": "CD19 MS4A1 CD79A CD79B CD22 BLK BLNK PAX5 CR2 FCER2 BTK FCRL1 FCRLA",
    "natural killer cell": "NCAM1 NCR1 NCR3 KLRD1 KLRF1 KLRB1 KLRC1 KLRK1 NKG7 GNLY PRF1 GZMB KIR2DL1 KIR3DL1",
    "endothelium": "PECAM1 VWF CDH5 KDR FLT1 TEK TIE1 ENG ESAM ROBO4 EMCN CLDN5 EGFL7",
    "smooth muscle": "ACTA2 ACTG2 MYH11 TAGLN CNN1 MYLK MYL9 LMOD1 SMTN DES SYNPO2 CALD1 TPM2",
    "complement": "C1QA C1QB C1QC C1R C1S C2 C3 C4A C5 C6 C7 C8A C9 CFB CFD CFH CFI MASP1",
    "mitosis": "CDK1 CCNB1 CCNB2 PLK1 AURKA AURKB BUB1 BUB1B TTK KIF11 KIF2C CENPE CENPF NDC80 NUF2 MAD2L1 CDC20",
    "glycolysis": "HK1 HK2 GPI PFKL PFKM PFKP ALDOA ALDOC TPI1 GAPDH PGK1 PGAM1 ENO1 ENO2 PKM LDHA",
    "interferon response": "IFIT1 IFIT2 IFIT3 ISG15 ISG20 MX1 MX2 OAS1 OAS2 OAS3 OASL IFI6 IFI44 IFI44L RSAD2 IRF7 STAT1",
    "cholesterol synthesis": "HMGCR HMGCS1 MVK PMVK MVD IDI1 FDPS FDFT1 SQLE LSS CYP51A1 MSMO1 NSDHL DHCR7 DHCR24 SC5D",
    "autophagy": "ATG3 ATG5 ATG7 ATG10 ATG12 ATG13 ATG14 ATG16L1 BECN1 ULK1 ULK2 MAP1LC3A MAP1LC3B GABARAP SQSTM1 WIPI2",
    "translation initiation": "EIF1 EIF1AX EIF2S1 EIF2S2 EIF2B1 EIF3A EIF3B EIF3C EIF3D EIF4A1 EIF4A2 EIF4B EIF4E EIF4G1 EIF5 EIF5B",
}
GENE_SETS = {name: symbols.split() for name, symbols in (FAMILIES | FUNCTIONS).items()}


def knn_purity(
    vectors: NDArray[np.floating], sets: Mapping[str, Sequence[int]], *, n_neighbors: int = 10
) -> dict[str, float]:
    """Return per set the share of set mates among the nearest neighbours of its genes.

    Parameters
    ----------
    vectors
        One row per gene, shape (n, d); cosine similarity is used.
    sets
        Rows of the genes of each set.
    n_neighbors
        Neighbours per gene, at most the number of its set mates.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    purity = {}
    for name, members in sets.items():
        rows = np.asarray(members)
        k = min(n_neighbors, len(rows) - 1)
        similarity = unit[rows] @ unit.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        purity[name] = float(np.isin(nearest, rows).mean())
    return purity
